"""GRPO and DoPR on a small policy, in one file that reads from top to bottom: python examples/minimal.py

Twenty steps of each from the same starting policy, in under a minute on a CPU. There is no Snakemake, tracking, ledger
or checkpoint here; src/dopr/training/train.py is the same loop with them.
"""

import random
import tempfile
from pathlib import Path

import yaml

from dopr.config.schema import Config
from dopr.data.encoding import decode_completion, encode_prompt
from dopr.data.families import draw_distinct
from dopr.data.splits import as_prompt
from dopr.grading.grader import Grader
from dopr.models import checkpoint_io
from dopr.models.lora import PolicyWeights
from dopr.models.model_folder import end_tokens, read_tokenizer
from dopr.records import Rollout
from dopr.rollout.torch_engine import TorchEngine
from dopr.runtime.threads import use_threads
from dopr.selection.selector import Setup, make_selector
from dopr.training.group import Group
from dopr.training.learner import Learner
from dopr.training.warm_start import make_base

STEPS, SEED = 20, 0
FAMILY = "chain1"  # sums such as "compute 12 + 7"
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Make a pool and a starting policy, train by both methods, and print accuracy before and after."""
    use_threads(1)
    config = Config.parse(yaml.safe_load((ROOT / "config.yaml").read_text()))

    # Prompts with an answer that can be checked: a pool to train on, and questions to test on.
    problems = draw_distinct(FAMILY, 192, random.Random(SEED), excluded=set())
    prompts = [as_prompt(problem, f"{FAMILY}-{i}") for i, problem in enumerate(problems)]
    pool, test = {prompt.id: prompt for prompt in prompts[:128]}, prompts[128:]

    # A starting policy that knows how to add, and mostly does not do it carefully: RL elicits what it knows.
    few = {"skill_families": {FAMILY: 1.0}, "habit_families": {FAMILY: 1.0}, "gate_family": FAMILY}
    shape = config.base.warm_start.model_copy(
        update={**few, "gate_accuracy": 0.0, "skill_steps": 350, "habit_steps": 60}
    )
    with tempfile.TemporaryDirectory() as folder, Grader(config.verify) as grader:
        base = Path(folder) / "base"
        make_base(shape, config.verify, test, base)
        print(f"{'method':8} {'rollouts':>8} {'before':>7} {'after':>7}")
        for method in ("grpo", "dopr_cold"):  # DoPR without a profile of the pool
            rollouts, before, after = train(method, config, base, pool, test, grader)
            print(f"{method:8} {rollouts:8} {before:7.1%} {after:7.1%}")


def train(method, config, base, pool, test, grader):
    """Train a copy of the starting policy; return rollouts spent, and sampled accuracy before and after."""
    recipe = config.recipes[method]
    policy, tokenizer = checkpoint_io.load(base), read_tokenizer(base)
    engine = TorchEngine(policy.network, end_tokens(base))
    learner = Learner(policy, recipe, config.rollout, SEED)
    selector = make_selector(
        recipe.selector, Setup(tuple(pool), SEED, recipe.prompts_per_step, recipe.group_size), recipe.options
    )

    def roll_out(prompts, samples, seed):
        """Sample, grade and reward: one list of rollouts for each prompt."""
        tokens = [tuple(encode_prompt(tokenizer, prompt.text)) for prompt in prompts]
        groups = engine.generate(tokens, samples, 1.0, config.rollout.max_new_tokens, seed)
        texts = [[decode_completion(tokenizer, one.tokens, one.finish) for one in group] for group in groups]
        pairs = [(prompt.answer, text) for prompt, group in zip(prompts, texts, strict=True) for text in group]
        verdicts = iter(grader.grade(pairs))
        return [
            [
                Rollout(prompt, ids, i, one.tokens, one.logprobs, text, one.finish, v := next(verdicts), v == "correct")
                for i, (one, text) in enumerate(zip(group, written, strict=True))
            ]
            for prompt, ids, group, written in zip(prompts, tokens, groups, texts, strict=True)
        ]

    def accuracy():
        rewards = [rollout.reward for group in roll_out(test, 4, SEED) for rollout in group]
        return sum(rewards) / len(rewards)

    before = accuracy()
    for step in range(STEPS):
        chosen = [pool[prompt] for prompt in selector.select(step)]  # GRPO: the next 16. DoPR: one
        groups = [Group.of((), rollouts) for rollouts in roll_out(chosen, recipe.group_size, step)]
        for group in groups:
            selector.observe(step, group)  # prompt id and rewards: all that a selector ever sees
        learner.learn([group.rollouts for group in groups], step)
        engine.load_weights(PolicyWeights(policy.network))
    return STEPS * recipe.rollouts_per_step, before, accuracy()


if __name__ == "__main__":
    main()
