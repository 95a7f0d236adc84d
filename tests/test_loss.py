"""The loss of a mini-batch: each variant by hand, against a plain loop, and by the properties it is chosen for."""

from __future__ import annotations

import math
import typing
from typing import Any

import pytest
import torch
from torch import Tensor

from dopr.config.recipe import Loss
from dopr.training.loss import MAX_KL, VARIANTS, LossInputs, Normalisation, k3, minibatch_loss
from project import ROOT

TRUE = torch.ones(1, 1, dtype=torch.bool)
RATIO_VARIANTS = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "gspo")


def make_loss(variant: str = "dapo", **changes: Any) -> Loss:
    return Loss(**{"variant": variant, "clip_low": 0.2, "clip_high": 0.2, "advantage_epsilon": 1e-4, **changes})


def one_token(ratio: float, advantage: float, **changes: Any) -> tuple[float, float, float]:
    """The loss of a batch of a single token, the clipped share, and the gradient of its log-probability."""
    logprobs = torch.tensor([[math.log(ratio) - 1.0]], requires_grad=True)
    tokens = LossInputs(logprobs, torch.tensor([[-1.0]]), torch.tensor([[advantage]]), TRUE)
    terms = minibatch_loss(tokens, Normalisation(1, 1, 1, 1), make_loss(**changes))
    terms.loss.backward()
    return terms.loss.item(), terms.clipped, logprobs.grad.item()


def random_batch(seed: int) -> LossInputs:
    """Rows of different lengths in float64; the log-probabilities take a gradient."""
    random = torch.Generator().manual_seed(seed)
    logprobs = -torch.rand(5, 7, generator=random, dtype=torch.float64) * 3
    sampling_logprobs = logprobs + 0.4 * torch.randn(5, 7, generator=random, dtype=torch.float64)
    advantages = torch.randn(5, 1, generator=random, dtype=torch.float64)
    lengths = torch.randint(1, 8, (5, 1), generator=random)
    return LossInputs(logprobs.requires_grad_(), sampling_logprobs, advantages, torch.arange(7) < lengths)


def whole(tokens: LossInputs) -> Normalisation:
    """The rows as a batch of their own, of at most 10 tokens each."""
    count = int(tokens.mask.sum())
    return Normalisation(len(tokens.mask), count, count, 10)


def two_rows(**changes: Any) -> tuple[LossInputs, Tensor]:
    """A row of one token and one of three, all at ratio 1; and the log-probabilities, whose gradient is wanted."""
    logprobs = torch.full((2, 3), -1.0, requires_grad=True)
    mask = torch.tensor([[True, False, False], [True, True, True]])
    fields = {"sampling_logprobs": torch.full((2, 3), -1.0), "advantages": torch.tensor([[2.0], [-1.0]]), "mask": mask}
    return LossInputs(**{"logprobs": logprobs, **fields, **changes}), logprobs


# --- the clip, by hand ---


@pytest.mark.parametrize("variant", [*RATIO_VARIANTS])
@pytest.mark.parametrize("advantage", [1.5, -0.5])
def test_at_ratio_one_every_variant_has_reinforces_gradient(variant, advantage):
    _, clipped, gradient = one_token(1.0, advantage, variant=variant)
    assert (clipped, gradient) == (0, pytest.approx(-advantage))


@pytest.mark.parametrize("variant", ["grpo", "dapo", "gspo"])
@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped", "gradient"),
    [
        (1.1, 2.0, -2.2, 0, -2.2),  # inside the clip: -ratio A, and its gradient is the same
        (0.9, -2.0, 1.8, 0, 1.8),
        (1.5, 2.0, -2.4, 1, 0),  # already far enough up: min(3, 1.2 * 2)
        (0.5, 2.0, -1.0, 0, -1.0),  # a good token made rarer: not clipped, min(1, 0.8 * 2)
        (0.5, -2.0, 1.6, 1, 0),  # already far enough down: min(-1, 0.8 * -2)
        (1.5, -2.0, 3.0, 0, 3.0),  # a bad token made likelier: not clipped
    ],
)
def test_the_loss_by_hand_inside_and_outside_the_clip(variant, ratio, advantage, loss, clipped, gradient):
    found = one_token(ratio, advantage, variant=variant)
    assert found[0] == pytest.approx(loss, rel=1e-5)
    assert found[1] == clipped
    assert found[2] == pytest.approx(gradient, rel=1e-5)


def test_every_variant_that_may_be_configured_exists_and_is_documented():
    assert typing.get_args(Loss.model_fields["variant"].annotation) == tuple(VARIANTS)
    page = (ROOT / "docs/policy_optimisation.md").read_text()
    assert all(f"\n| `{name}` |" in page for name in VARIANTS)


def test_clip_higher_lets_good_tokens_rise_further_and_bad_ones_fall_no_further():
    assert one_token(1.25, 2.0, clip_high=0.28)[1:] == (0, pytest.approx(-2.5, rel=1e-5))
    assert one_token(1.3, 2.0, clip_high=0.28) == (pytest.approx(-2.56, rel=1e-5), 1, 0)
    assert one_token(0.75, -2.0, clip_high=0.28)[1:] == (1, 0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "clipped", "gradient"),
    [(1.5, 2.0, 1, -2.4), (1.5, -2.0, 1, 2.4), (0.5, 2.0, 0, -1.0), (0.5, -2.0, 0, 1.0)],
)
def test_cispo_caps_the_weight_and_never_loses_the_gradient(ratio, advantage, clipped, gradient):
    loss, share, found = one_token(ratio, advantage, variant="cispo")
    assert (share, found) == (clipped, pytest.approx(gradient, rel=1e-5))
    assert loss == pytest.approx(gradient * (math.log(ratio) - 1.0), rel=1e-5)  # -min(ratio, 1.2) A log p


def test_gspo_clips_whole_completions_by_their_mean_ratio():
    """Token ratios e^0.3 and e^-0.1: their geometric mean e^0.1 = 1.105 is inside the clip, e^0.3 alone is not."""
    sampling_logprobs = torch.tensor([[-1.3, -0.9]])
    for variant, clipped, gradient in (
        ("grpo", 0.5, [0.0, -math.exp(-0.1) / 2]),
        ("gspo", 0, [-math.exp(0.1) / 2] * 2),
    ):
        logprobs = torch.full((1, 2), -1.0, requires_grad=True)
        tokens = LossInputs(logprobs, sampling_logprobs, torch.ones(1, 1), torch.ones(1, 2, dtype=torch.bool))
        terms = minibatch_loss(tokens, whole(tokens), make_loss(variant))
        terms.loss.backward()
        assert terms.clipped == clipped
        assert logprobs.grad[0].tolist() == pytest.approx(gradient)


def test_rft_knows_no_ratio():
    assert one_token(3.0, 1.0, variant="rft") == (pytest.approx(1 - math.log(3.0), rel=1e-5), 0, -1.0)


# --- averages, by hand ---


@pytest.mark.parametrize(
    ("variant", "loss", "gradient"),
    [
        ("grpo", (-2 + 1) / 2, [-1.0, 1 / 6]),  # each completion's mean, then over two completions
        ("gspo", (-2 + 1) / 2, [-1.0, 1 / 6]),
        ("dr_grpo", (-2 + 3) / 20, [-0.1, 0.05]),  # two completions of at most 10 tokens
        ("dapo", (-2 + 3) / 5, [-0.4, 0.2]),  # 5 tokens: the mini-batch's share of the whole batch
        ("bnpo", (-2 + 3) / 4, [-0.5, 0.25]),  # the 4 tokens that are here
        ("cispo", (2 - 3) / 5, [-0.4, 0.2]),  # A log p with log p = -1
        ("rft", (2 - 3) / 4, [-0.5, 0.25]),
    ],
)
def test_a_short_good_and_a_long_bad_completion_by_hand(variant, loss, gradient):
    tokens, logprobs = two_rows()
    terms = minibatch_loss(tokens, Normalisation(2, 4, 5, 10), make_loss(variant))
    terms.loss.backward()
    assert terms.loss.item() == pytest.approx(loss)
    good, bad = gradient
    expected = [good, 0, 0, bad, bad, bad]
    assert logprobs.grad.flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("variant", RATIO_VARIANTS)
def test_a_row_left_out_counts_as_if_it_had_been_computed_with_advantage_zero(variant):
    tokens = random_batch(1)
    beside = LossInputs(
        *(torch.cat([part, part[:1]]) for part in (tokens.logprobs, tokens.sampling_logprobs)),
        torch.cat([tokens.advantages, torch.zeros(1, 1)]),
        torch.cat([tokens.mask, tokens.mask[:1]]),
    )
    kept = minibatch_loss(beside, whole(beside), make_loss(variant)).loss
    left_out = minibatch_loss(tokens, whole(beside), make_loss(variant)).loss
    assert left_out.item() == pytest.approx(kept.item())
    assert left_out.item() != pytest.approx(minibatch_loss(tokens, whole(tokens), make_loss(variant)).loss.item())


# --- a batch ---


@pytest.mark.parametrize("seed", range(10))
def test_the_loss_and_the_clipped_share_are_those_of_a_plain_loop(seed):
    tokens, total, active, count = random_batch(seed), 0.0, 0, 0
    current = tokens.logprobs.detach()
    for i in range(5):
        for j in range(7):
            if tokens.mask[i, j]:
                ratio = math.exp(float(current[i, j]) - float(tokens.sampling_logprobs[i, j]))
                advantage = float(tokens.advantages[i])
                plain, bounded = ratio * advantage, min(max(ratio, 0.9), 1.3) * advantage
                total, active, count = total - min(plain, bounded), active + (bounded < plain), count + 1
    terms = minibatch_loss(tokens, Normalisation(5, count, 50, 10), make_loss(clip_low=0.1, clip_high=0.3))
    assert terms.loss.item() == pytest.approx(total / 50)
    assert terms.clipped == pytest.approx(active / count)


@pytest.mark.parametrize("variant", VARIANTS)
def test_masked_positions_have_no_influence_and_no_gradient(variant):
    tokens = random_batch(2)
    terms = minibatch_loss(tokens, whole(tokens), make_loss(variant))
    terms.loss.backward()
    assert not tokens.mask.all()
    assert (tokens.logprobs.grad[~tokens.mask] == 0).all()
    assert (tokens.logprobs.grad[tokens.mask] != 0).any()
    changed = torch.where(tokens.mask, tokens.logprobs.detach(), torch.tensor(5.0, dtype=torch.float64))
    again = minibatch_loss(
        LossInputs(changed, tokens.sampling_logprobs, tokens.advantages, tokens.mask), whole(tokens), make_loss(variant)
    )
    assert (again.loss.item(), again.clipped) == (terms.loss.item(), terms.clipped)


@pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo", "bnpo", "cispo"])
def test_advantages_may_be_given_token_by_token(variant):
    tokens = random_batch(3)
    spread = LossInputs(tokens.logprobs, tokens.sampling_logprobs, tokens.advantages.expand(-1, 7), tokens.mask)
    found = [minibatch_loss(each, whole(tokens), make_loss(variant)) for each in (tokens, spread)]
    assert found[0].loss.item() == found[1].loss.item()
    tilted = LossInputs(tokens.logprobs, tokens.sampling_logprobs, tokens.advantages * torch.arange(7), tokens.mask)
    assert minibatch_loss(tilted, whole(tokens), make_loss(variant)).loss.item() != found[0].loss.item()


# --- KL and entropy ---


def test_k3_by_hand():
    """Twice as likely as under the reference: 1/2 + log 2 - 1; half as likely: 2 - log 2 - 1; equal: 0."""
    found = k3(torch.log(torch.tensor([0.5, 0.25, 0.3])), torch.log(torch.tensor([0.25, 0.5, 0.3])))
    assert found.tolist() == pytest.approx([math.log(2) - 0.5, 1 - math.log(2), 0.0], abs=1e-6)


def test_k3_is_an_unbiased_estimate_of_the_divergence():
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    divergence = (p * (p / q).log()).sum()
    assert (p * k3(p.log(), q.log())).sum().item() == pytest.approx(divergence.item(), rel=1e-5)


@pytest.mark.parametrize("gap", [50.0, 5000.0, -5000.0])
def test_k3_is_cut_and_its_gradient_stays_finite_however_far_the_policy_went(gap):
    logprobs = torch.tensor([-1.0], requires_grad=True)
    found = k3(logprobs, logprobs.detach() + gap)
    found.sum().backward()
    assert (found.item(), logprobs.grad.item()) == (MAX_KL, 0.0)


@pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "gspo", "rft"])
def test_terms_are_averaged_alike_and_each_can_stand_alone(variant):
    """A KL estimate of 1 - log 2 and an entropy of 0.5 at every token: as a surrogate of that value would be."""
    divergence = 1 - math.log(2)
    sums = {"grpo": 1.0, "gspo": 1.0, "dr_grpo": 4 / 20, "dapo": 4 / 5, "cispo": 4 / 5, "bnpo": 1.0, "rft": 1.0}
    reference, entropy = torch.full((2, 3), math.log(2) - 1), torch.full((2, 3), 0.5)

    def loss(**settings: Any) -> float:
        parts = {
            "ref_logprobs": reference if "kl" in settings else None,
            "entropy": entropy if "entropy" in settings else None,
        }
        tokens, _ = two_rows(**parts)
        return minibatch_loss(tokens, Normalisation(2, 4, 5, 10), make_loss(variant, **settings)).loss.item()

    assert loss(kl=0.1, policy_gradient=False) == pytest.approx(0.1 * divergence * sums[variant], rel=1e-5)
    assert loss(entropy=0.1, policy_gradient=False) == pytest.approx(-0.05 * sums[variant])
    alone = loss()
    together = alone + (0.1 * divergence - 0.05) * sums[variant]
    assert loss(kl=0.1, entropy=0.1) == pytest.approx(together, rel=1e-5)


def test_the_divergence_is_reported_as_the_mean_over_tokens_whatever_the_average():
    """Estimates of 1 - log 2 at the short completion's token and of 0 at the long one's three."""
    tokens, _ = two_rows(ref_logprobs=torch.tensor([[math.log(2) - 1, 9, 9], [-1, -1, -1]]))
    for variant in VARIANTS:
        terms = minibatch_loss(tokens, Normalisation(2, 4, 5, 10), make_loss(variant, kl=0.1))
        assert terms.kl == pytest.approx((1 - math.log(2)) / 4, rel=1e-5)
