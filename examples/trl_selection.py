"""Train the policy that the repository ships in TRL's GRPOTrainer: one prompt a step, at random and chosen by DoPR.

    python examples/trl_selection.py

Pool (the hard one), questions, recipes and grader are those of the default experiment; loop, sampling and loss are
TRL's. Beside the rollouts to 70 % accuracy that it prints, docs/trl.md has those of our own loop.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerFast, PrinterCallback
from trl import GRPOConfig

from dopr.analysis.rollouts_to_target import first_crossing
from dopr.config.config_files import ConfigFiles
from dopr.config.recipe import Recipe
from dopr.config.schema import Config
from dopr.data.dataset import Dataset as Questions
from dopr.data.dataset import make_dataset
from dopr.data.templates import make_template
from dopr.grading.grader import Grader
from dopr.integrations.trl import SelectorTrainer
from dopr.records import Prompt
from dopr.training.prompt_features import text_features, unit_rows

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "resources/toy_policy"
METHODS = ("random_one", "dopr")  # recipes of config.yaml
TARGET = 0.7
EVERY = 8  # steps from one evaluation to the next

config = Config.parse(ConfigFiles.read([ROOT / "config.yaml"]).merged())


def rows(prompts: list[Prompt]) -> Dataset:
    """Return prompts as TRL reads them; what stands beside `prompt` goes to the reward function."""
    columns = {"prompt": "text", "id": "id", "answer": "answer"}
    return Dataset.from_dict({name: [getattr(p, field) for p in prompts] for name, field in columns.items()})


def trainer_config(recipe: Recipe, seed: int, questions: int, steps: int, output: Path) -> GRPOConfig:
    """Return TRL's configuration of a recipe; all questions are evaluated at once, before and every EVERY steps."""
    return GRPOConfig(
        output_dir=str(output),
        seed=seed,
        max_steps=steps,
        per_device_train_batch_size=recipe.group_size,
        num_generations=recipe.group_size,
        max_completion_length=config.rollout.max_new_tokens,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        lr_scheduler_type="constant_with_warmup",
        adam_beta1=recipe.betas[0],
        adam_beta2=recipe.betas[1],
        eval_strategy="steps",
        eval_steps=EVERY,
        eval_on_start=True,
        num_generations_eval=1,
        per_device_eval_batch_size=questions,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        model_init_kwargs={"dtype": "float32"},
    )


def accuracies(method: str, seed: int, questions: Questions, grader: Grader, steps: int, output: Path) -> list[float]:
    """Train, and return the accuracy on the test questions before and after every EVERY steps."""
    recipe, pool = config.recipes[method], questions.pools["hard"]

    def correct(completions: list[str], answer: list[str], **_: Any) -> list[float]:
        return [float(verdict == "correct") for verdict in grader.grade(list(zip(answer, completions, strict=True)))]

    trainer = SelectorTrainer(
        model=str(MODEL),
        reward_funcs=correct,
        processing_class=PreTrainedTokenizerFast.from_pretrained(MODEL),  # its words are not those of its kind of model
        args=trainer_config(recipe, seed, len(questions.test), steps, output),
        train_dataset=rows(pool),
        eval_dataset=rows(questions.test),
        selector=recipe.selector,
        options=recipe.options,
        features=unit_rows(text_features([prompt.text for prompt in pool])),  # for `similarity: text`
        prompt_id="id",
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [entry["eval_reward"] for entry in trainer.state.log_history if "eval_reward" in entry]


def main() -> None:
    """Train with both selectors and print the rollouts to the target, of each seed and of the mean curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=96)
    parser.add_argument("--output", type=Path, help="keep what TRL and the selectors write in this folder")
    args = parser.parse_args()
    questions = make_dataset(config.data, make_template(config.prompt, None))
    print(f"training rollouts to {TARGET:.0%}: of each seed, and of the mean curve")
    with tempfile.TemporaryDirectory() as folder, Grader(config.verify) as grader:
        for method in METHODS:
            output = (args.output or Path(folder)) / method
            runs = [
                accuracies(method, seed, questions, grader, args.steps, output / str(seed))
                for seed in range(args.seeds)
            ]
            rollouts = config.recipes[method].group_size * EVERY * np.arange(len(runs[0]))
            found = first_crossing(rollouts, np.array([*runs, np.mean(runs, axis=0)]), TARGET)
            print(f"{method:12}", *(f"{number:6.0f}" for number in found), flush=True)


if __name__ == "__main__":
    main()
