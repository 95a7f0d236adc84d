"""Train one small policy with GRPO and with DoPR, and compare the accuracy they reach and the rollouts they use.

    python examples/minimal.py

It takes less than a minute on a CPU and writes no results. The loop is that of dopr.training.train, without its
checkpoints, ledger and metrics. config.yaml has every hyperparameter that is not set here.
"""

import random
import tempfile
from pathlib import Path

from tokenizers import Tokenizer

from dopr.config.config_files import ConfigFiles
from dopr.config.schema import Config
from dopr.data.encoding import decode_completion, encode_prompt
from dopr.data.families import draw_distinct
from dopr.data.splits import as_prompt
from dopr.grading.grader import Grader
from dopr.models import checkpoint_io
from dopr.models.model_folder import end_tokens, read_tokenizer
from dopr.records import Prompt, Rollout, derive_seed
from dopr.rollout.torch_engine import TorchEngine
from dopr.runtime.threads import use_threads
from dopr.selection.selector import Setup, make_selector
from dopr.training.group import Group
from dopr.training.learner import Learner
from dopr.training.warm_start import make_base

SEED = 0
STEPS = 20  # of GRPO and of DoPR
FAMILIES = {"chain1": 1.0, "chain2": 1.0}  # "compute 31 - 8" and "compute 31 - 8 + 5", equally often
POOL_SIZE, TEST_SIZE = 64, 64  # prompts to train on, and questions to test on
TEST_SAMPLES = 4  # completions of each test question
RECIPES = {"GRPO": "grpo", "DoPR": "dopr_cold"}  # in config.yaml; "cold": DoPR knows nothing about the prompts yet
WARM_START = {  # supervised training: the skill first, then answers in mixed styles that hide it
    "skill_steps": 600,
    "habit_steps": 150,
    "skill_families": FAMILIES,
    "habit_families": FAMILIES,
    "gate_family": "chain2",
    "gate_accuracy": 0.5,
}

config = Config.parse(ConfigFiles.read([Path(__file__).parents[1] / "config.yaml"]).merged())


def make_questions() -> tuple[list[Prompt], list[Prompt]]:
    """Draw the pool and the test questions; no question is in both."""
    rng = random.Random(SEED)
    each = (POOL_SIZE + TEST_SIZE) // len(FAMILIES)
    problems = [problem for family in FAMILIES for problem in draw_distinct(family, each, rng, excluded=set())]
    rng.shuffle(problems)
    prompts = [as_prompt(problem, f"prompt-{i}") for i, problem in enumerate(problems)]
    return prompts[:POOL_SIZE], prompts[POOL_SIZE:]


def sample_groups(
    engine: TorchEngine, tokenizer: Tokenizer, grader: Grader, prompts: list[Prompt], size: int, seed: int
) -> list[Group]:
    """Sample a group of completions of each prompt and grade them; a correct answer earns reward 1, any other 0."""
    ids = [tuple(encode_prompt(tokenizer, prompt.text)) for prompt in prompts]
    sampled = engine.generate(ids, size, config.rollout.temperature, config.rollout.max_new_tokens, seed)
    groups = []
    for prompt, prompt_ids, samples in zip(prompts, ids, sampled, strict=True):
        rollouts = []
        for i, sample in enumerate(samples):
            text = decode_completion(tokenizer, sample.tokens, sample.finish)
            [verdict] = grader.grade([(prompt.answer, text)])
            reward = float(verdict == "correct")
            completion = (sample.tokens, sample.logprobs, text, sample.finish)
            rollouts.append(Rollout(prompt, prompt_ids, i, *completion, verdict, reward))
        groups.append(Group.from_rollouts((), rollouts))
    return groups


def train(name: str, base: Path, pool: list[Prompt], test: list[Prompt], grader: Grader) -> str:
    """Train the policy in the folder `base` by one recipe, and return a row of the table."""
    recipe = config.recipes[RECIPES[name]].model_copy(update={"steps": STEPS})
    policy, tokenizer = checkpoint_io.load(base), read_tokenizer(base)
    engine = TorchEngine(policy.network, end_tokens(base))  # it samples from the weights that the learner changes
    learner = Learner(policy, recipe, config.rollout, SEED)
    by_id = {prompt.id: prompt for prompt in pool}
    # Each step GRPO's selector takes the next 16 prompts of a random order. DoPR's draws 16 candidates and takes one:
    # that with the highest reward volatility plus a bonus for prompts that it has seldom tried.
    setup = Setup(tuple(by_id), SEED, recipe.prompts_per_step, recipe.group_size)
    selector = make_selector(recipe.selector, setup, recipe.options)

    def accuracy() -> float:
        groups = sample_groups(engine, tokenizer, grader, test, TEST_SAMPLES, SEED)
        return sum(sum(group.rewards) for group in groups) / (len(test) * TEST_SAMPLES)

    before, rollouts = accuracy(), 0
    for step in range(STEPS):
        prompts = [by_id[request.prompt] for request in selector.request(step, held=[])]
        groups = sample_groups(engine, tokenizer, grader, prompts, recipe.group_size, derive_seed(SEED, step))
        rollouts += sum(len(group.rewards) for group in groups)
        for group in groups:
            selector.observe(step, group)
        # A group whose rewards are all equal has no gradient: its rollouts are counted, and teach nothing.
        learner.learn(groups, step)
    return f"{name:8}{rollouts:>8}{before:>8.1%}{accuracy():>8.1%}"


def main() -> None:
    """Make the starting policy, train it by each recipe, and print the table."""
    use_threads(1)
    pool, test = make_questions()
    with tempfile.TemporaryDirectory() as folder, Grader(config.verify) as grader:
        base = Path(folder) / "base"
        make_base(config.base.warm_start.model_copy(update=WARM_START), config.verify, test, base)
        print(f"{'method':8}{'rollouts':>8}{'before':>8}{'after':>8}")
        for name in RECIPES:
            print(train(name, base, pool, test, grader))


if __name__ == "__main__":
    main()
