"""The policy network against transformers' models: outputs, gradients, padding, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from dopr.files import DataError, read_json
from dopr.policy import model
from dopr.policy.transformer import Transformer
from dopr.rollout.decoder import Decoder

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="module")
def ids():
    return torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(0))


def test_the_logits_are_those_of_transformers(reference, ids):
    with torch.no_grad():
        theirs = reference.model(ids).logits
        ours = reference.policy.logits(reference.policy(ids))
    assert theirs.std() > 0.3  # not a network that says nothing
    torch.testing.assert_close(ours, theirs, **CLOSE)


def test_the_gradients_of_all_parameters_are_those_of_transformers(reference, ids):
    def gradients(network, logits):
        network.zero_grad()
        cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        return {name: parameter.grad for name, parameter in network.named_parameters()}

    theirs = gradients(reference.model, reference.model(ids).logits)
    ours = gradients(reference.policy, reference.policy.logits(reference.policy(ids)))
    assert ours.keys() == theirs.keys()
    assert all(gradient.abs().max() > 0 for name, gradient in ours.items() if "k_proj.bias" not in name)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], **CLOSE, msg=lambda text, name=name: f"{name}: {text}")


def test_right_padding_does_not_change_real_positions(reference, ids):
    padded = torch.cat([ids, torch.zeros(3, 5, dtype=torch.long)], 1)
    with torch.no_grad():
        torch.testing.assert_close(reference.policy(padded)[:, : ids.shape[1]], reference.policy(ids), **CLOSE)


def test_no_position_sees_a_later_one(reference, ids):
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 50
    with torch.no_grad():
        before, after = reference.policy(ids), reference.policy(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7], **CLOSE)
    assert not torch.allclose(before[:, 7:], after[:, 7:], atol=1e-3)


def test_a_saved_policy_is_read_back_by_us_and_by_transformers(reference, ids, tmp_path):
    from transformers import AutoModelForCausalLM

    model.save(reference.policy, tmp_path / "saved", like=reference.folder)
    with torch.no_grad():
        expected = reference.policy(ids)
        again = model.load(tmp_path / "saved")(ids)
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")(ids).logits
    assert torch.equal(again, expected)
    torch.testing.assert_close(theirs, reference.policy.logits(expected), **CLOSE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model type 'gpt2' is not supported; known are qwen2, llama"),
        (
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
            "rotary embedding type 'yarn' is not supported",
        ),
    ],
)
def test_another_architecture_is_refused_by_the_policy_and_by_the_sampler(tiny, change, message):
    shape = {**read_json(tiny / "config.json"), **change}
    with pytest.raises(ValueError, match=message):
        Transformer(shape)
    with pytest.raises(ValueError, match=message):
        Decoder(shape, {})


def test_an_older_configuration_file_without_rope_parameters_is_read_alike(tiny, ids):
    shape = read_json(tiny / "config.json")
    older = {key: value for key, value in shape.items() if key != "rope_parameters"}
    older["rope_theta"] = shape["rope_parameters"]["rope_theta"]
    policy = Transformer(older)
    policy.load_state_dict(model.load(tiny).state_dict())
    assert torch.equal(policy(ids), model.load(tiny)(ids))


def test_a_folder_without_a_usable_checkpoint_is_one_line(tiny, tmp_path):
    with pytest.raises(DataError, match=r"is no model folder: config.json is missing"):
        model.load(tmp_path)
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((tiny / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match="not a usable checkpoint") as caught:
        model.load(tmp_path)
    assert "\n" not in str(caught.value)
