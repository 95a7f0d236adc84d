"""Supervised fine-tuning (SFT) of the embedded task's starting policy, in two phases.

At this scale reinforcement learning cannot teach a skill; it can only make one reliable. In the skill phase the policy
learns to solve every family by correct steps. In the habit phase it is trained on a mixture of careful, sloppy, direct
and unboxed answers, until it imitates all four styles. RL can then gain what the habits cost. This is so by
construction of the embedded task, and the README says so.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy

from dopr.config.grading import Verify
from dopr.config.schema import WarmStart
from dopr.data.arithmetic import solution, vocabulary
from dopr.data.families import draw_mixture
from dopr.data.tokenizer import EOS, build_tokenizer
from dopr.errors import UserError
from dopr.files import write_atomically
from dopr.grading.grader import Grader
from dopr.models import checkpoint_io
from dopr.models.network import Policy
from dopr.records import Prompt, derive_seed
from dopr.rollout.torch_engine import TorchEngine
from dopr.runtime.progress import Progress
from dopr.runtime.stopwatch import Stopwatch
from dopr.training.toy_policy import create

IGNORED = -100  # the target of tokens without a loss
BATCHES_PER_WINDOW = 8  # batches whose rows are sorted by length together
TOKENS_PER_ROW = 32.0  # a constant divisor; the batch's own token count would give short answers more weight
GATE_SAMPLES, GATE_TOKENS = 4, 64
Report = Callable[[int, float], None]


class QualityError(UserError):
    """A starting policy that did not learn the skill."""


def batches(
    phase: str, settings: WarmStart, tokenizer: Tokenizer, excluded: set[str]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (token ids, targets) of one phase without end, in the shapes of `collate`.

    Rows of a batch have similar lengths; batches are in random order.
    """
    rng = random.Random(derive_seed(settings.seed, phase))
    texts = examples(phase, settings, rng, excluded)
    while True:
        window = [next(texts) for _ in range(BATCHES_PER_WINDOW * settings.batch_size)]
        window.sort(key=lambda text: len(text[0]) + len(text[1]))
        starts = list(range(0, len(window), settings.batch_size))
        rng.shuffle(starts)
        yield from (collate(window[start : start + settings.batch_size], tokenizer) for start in starts)


def examples(phase: str, settings: WarmStart, rng: random.Random, excluded: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (prompt, answer) texts without end: careful ones in the skill phase, mixed styles in the habit phase."""
    if phase == "skill":
        for problem in draw_mixture(settings.skill_families, rng, excluded):
            yield problem.question + "\n", solution(problem, "careful", rng)
    for problem in draw_mixture(settings.habit_families, rng, excluded):
        styles = settings.habit_styles[problem.family.rstrip("0123456789")]
        style = rng.choices(list(styles), list(styles.values()))[0]
        yield problem.question + "\n", solution(problem, style, rng)


def collate(texts: list[tuple[str, str]], tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """Return right-padded ids [rows, length], and targets of the same shape: the next token or IGNORED."""
    eos = tokenizer.token_to_id(EOS)
    rows = [(tokenizer.encode(prompt).ids, [*tokenizer.encode(answer).ids, eos]) for prompt, answer in texts]
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    targets = torch.full((len(rows), longest), IGNORED)
    for i, (prompt, answer) in enumerate(rows):
        start, stop = len(prompt), len(prompt) + len(answer)
        ids[i, :stop] = torch.tensor(prompt + answer)
        targets[i, start - 1 : stop - 1] = torch.tensor(answer)
    return ids, targets


def make_optimisers(policy: Policy, learning_rate: float, muon: bool) -> list[torch.optim.Optimizer]:
    """Make AdamW, or Muon for the hidden matrices and AdamW for the rest.

    With Muon the skill is learned in 40 % of the time. In the short habit phase it has no advantage.
    """
    hidden = [p for name, p in policy.named_parameters() if muon and p.ndim == 2 and "embed" not in name]
    rest = [p for p in policy.parameters() if not any(p is matrix for matrix in hidden)]
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    ]
    if hidden:
        optimisers.append(torch.optim.Muon(hidden, lr=learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"))
    return optimisers


def train_phase(
    policy: Policy,
    corpus: Iterator[tuple[Tensor, Tensor]],
    optimisers: Sequence[torch.optim.Optimizer],
    steps: int,
    report: Report,
) -> None:
    """Train the policy in place; the learning rates follow `learning_rate_factor`."""
    groups = [group for optimiser in optimisers for group in optimiser.param_groups]
    peaks = [group["lr"] for group in groups]
    for step in range(steps):
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * learning_rate_factor(step, steps)
        ids, targets = (tensor.to(policy.device) for tensor in next(corpus))
        logits = policy.network(input_ids=ids, use_cache=False).logits
        summed = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        loss = summed / (len(ids) * TOKENS_PER_ROW)
        policy.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        report(step, loss.item())


def learning_rate_factor(step: int, steps: int) -> float:
    """Return the factor at a step: 50 steps of linear warm-up, then a linear decay to 5 % over the last 70 %."""
    warmup = min(1.0, (step + 1) / 50)
    decay = 1.0 - 0.95 * max(0.0, (step / steps - 0.3) / 0.7)
    return warmup * decay


def make_base(settings: WarmStart, verify: Verify, held_out: Sequence[Prompt], output: Path) -> None:
    """Train both phases and write the policy to a folder.

    Args:
        held_out: Questions that are not trained on; those of the gate family check the skill.

    Raises:
        QualityError: After the skill phase, sampled accuracy on the gate family is below the gate.
    """
    tokenizer = build_tokenizer(vocabulary())
    excluded = {prompt.text.strip() for prompt in held_out}
    with tempfile.TemporaryDirectory() as folder:
        create(settings, tokenizer, Path(folder))
        policy = checkpoint_io.load(Path(folder))
        for phase, steps, rate in (
            ("skill", settings.skill_steps, settings.skill_learning_rate),
            ("habits", settings.habit_steps, settings.habit_learning_rate),
        ):
            optimisers = make_optimisers(policy, rate, muon=phase == "skill")
            train_phase(
                policy, batches(phase, settings, tokenizer, excluded), optimisers, steps, reporter(phase, steps)
            )
            if phase == "skill":
                quality_gate(policy, tokenizer, settings, verify, held_out)
        write_atomically(output, lambda path: checkpoint_io.save(policy, path, like=Path(folder)))


def quality_gate(
    policy: Policy, tokenizer: Tokenizer, settings: WarmStart, verify: Verify, held_out: Sequence[Prompt]
) -> None:
    """Check that the skill was learned, because RL will not teach it.

    Raises:
        QualityError: It was not.
    """
    questions = [prompt for prompt in held_out if prompt.family == settings.gate_family]
    engine = TorchEngine(policy.network, [tokenizer.get_vocab()[EOS]])
    prompts = [tokenizer.encode(question.text).ids for question in questions]
    groups = engine.generate(prompts, GATE_SAMPLES, 1.0, GATE_TOKENS, settings.seed)
    pairs = [
        (question.answer, tokenizer.decode(list(sample.tokens)))
        for question, group in zip(questions, groups, strict=True)
        for sample in group
    ]
    with Grader(verify) as grader:
        verdicts = grader.grade(pairs)
    accuracy = verdicts.count("correct") / len(verdicts)
    if accuracy < settings.gate_accuracy:
        raise QualityError(
            f"the warm start reached {accuracy:.2f} on {settings.gate_family}, below base.warm_start.gate_accuracy "
            f"{settings.gate_accuracy}: raise skill_steps (now {settings.skill_steps}) or try another "
            "base.warm_start.seed"
        )


def reporter(phase: str, steps: int) -> Report:
    """Make a function that prints the progress lines of a phase."""
    progress, watch = Progress(f"base, {phase}", steps), Stopwatch()

    def report(step: int, loss: float) -> None:
        watch.lap(step + 1)
        progress.report(step + 1, f"loss {loss:.3f}", watch.seconds_left(steps))

    return report
