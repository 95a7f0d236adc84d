"""Templates, character by character; and prompts as tokens: special ones whole, the begin token once."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from dopr.config.data import PromptStyle
from dopr.data.encoding import ContextError, check_fit, decode_completion, encode_prompt
from dopr.data.templates import KNOWN, make_template
from dopr.files import DataError, read_json
from dopr.records import Prompt

BOX = " Let's think step by step and output the final answer within \\boxed{}."
GOLDEN = {
    "plain": "1 + 1?\n",
    "qwen25-math-cot": (
        "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
        "<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n"
    ),
    "dsr-boxed": f"1 + 1?{BOX}",
    "llama-3.2": (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n1 + 1?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "r1-distill": "<｜begin▁of▁sentence｜><｜User｜>1 + 1?<｜Assistant｜><think>\n",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_template_writes_exactly_this(name: str) -> None:
    template = make_template(PromptStyle(template=name), None)
    assert template.render("1 + 1?") == GOLDEN[name]
    plain = Prompt("a", "1 + 1?\n", "2", "b", "c")
    assert template.apply(plain) == Prompt("a", GOLDEN[name], "2", "b", "c")


def test_every_template_has_its_golden_prompt() -> None:
    assert set(GOLDEN) == set(read_json(KNOWN))


def test_a_prompt_of_dsr_sub_keeps_its_one_instruction() -> None:
    template = make_template(PromptStyle(template="dsr-boxed"), None)
    assert template.render(f"1 + 1?{BOX}") == GOLDEN["dsr-boxed"]


def test_another_system_prompt_takes_the_place_of_the_templates_own() -> None:
    template = make_template(PromptStyle(template="qwen25-math-cot", system="Be brief {}."), None)
    assert template.render("x").startswith("<|im_start|>system\nBe brief {}.<|im_end|>\n")
    own = make_template(PromptStyle(template="qwen25-math-cot"), None)
    assert template.describe()["sha256"] != own.describe()["sha256"]


def test_the_hash_is_of_all_that_stands_around_a_question() -> None:
    found = make_template(PromptStyle(), None).describe()
    assert found == {"template": "plain", "sha256": hashlib.sha256(b"{question}\n").hexdigest()}


def test_a_question_with_braces_is_left_alone() -> None:
    template = make_template(PromptStyle(template="qwen25-math-cot", system="{question} {system}"), None)
    text = template.render(r"\{x\} {question} {system} {0}")
    assert r"user\n\{x\} {question} {system} {0}<|im_end|>".replace(r"\n", "\n") in text
    assert text.startswith("<|im_start|>system\n{question} {system}<|im_end|>")


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({"template": "plane"}, r"prompt.template: there is no 'plane'; did you mean 'plain'\?"),
        ({"template": "plain", "system": "a"}, "prompt.system: template plain takes no system prompt; leave it null"),
        ({"template": "own"}, "prompt.template: own needs base.model"),
        (
            {"template": "llama-3.2", "examples": [{"question": "1 + 1?", "answer": "2"}]},
            "prompt.examples: template llama-3.2 has no turns before the question; use own",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(style: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_template(PromptStyle(**style), None)


# --- a model's own ---


CHAT = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}[assistant]"


def with_chat_template(tiny: Path, folder: Path, text: str) -> str:
    shutil.copytree(tiny, folder)
    (folder / "chat_template.jinja").write_text(text)
    return str(folder)


def test_a_models_own_template_is_what_transformers_writes(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model = with_chat_template(tiny, tmp_path / "model", CHAT)
    template = make_template(PromptStyle(template="own", system="Be brief."), model)
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
    tokenizer = AutoTokenizer.from_pretrained(model)
    expected = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert template.render("1 + 1?") == expected == "[system]Be brief.[user]1 + 1?[assistant]"
    assert make_template(PromptStyle(template="own"), model).render("x") == "[user]x[assistant]"


def test_examples_are_turns_before_the_question(tiny: Path, tmp_path: Path) -> None:
    model = with_chat_template(tiny, tmp_path / "model", CHAT)
    shown = [{"question": "2 + 2?", "answer": "4"}, {"question": "3 + 3?", "answer": "6"}]
    style = PromptStyle(template="own", system="Be brief.", suffix=" Say.", examples=shown)
    turns = "[user]2 + 2? Say.[assistant]4[user]3 + 3? Say.[assistant]6[user]1 + 1? Say.[assistant]"
    assert make_template(style, model).render("1 + 1?") == f"[system]Be brief.{turns}"
    other = style.model_copy(update={"examples": style.examples[:1]})
    assert make_template(style, model).describe() != make_template(other, model).describe()


def test_a_model_without_a_usable_template_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no chat template; name one of the others"):
        make_template(PromptStyle(template="own"), str(tiny))
    model = with_chat_template(tiny, tmp_path / "model", "{% for m in messages %}{{ m.role }}{% endfor %}")
    with pytest.raises(DataError, match="does not write the user turn once; name another"):
        make_template(PromptStyle(template="own"), model)


@pytest.mark.parametrize("date", ["strftime_now('%d %b %Y')", "date_string"])
def test_a_template_that_writes_a_date_always_writes_the_same(tiny: Path, tmp_path: Path, date: str) -> None:
    today = f"{{% macro today() %}}{{{{ {date} }}}}{{% endmacro %}}{{{{ today() }}}}"
    template = make_template(PromptStyle(template="own"), with_chat_template(tiny, tmp_path / "model", today + CHAT))
    assert template.render("x") == "26 Jul 2024[user]x[assistant]"
    assert template.describe()["date"] == "26 Jul 2024"


def test_a_date_that_cannot_be_fixed_is_refused(tiny: Path, tmp_path: Path) -> None:
    model = with_chat_template(tiny, tmp_path / "model", "{{ strftime_now(form) }}" + CHAT)
    with pytest.raises(DataError, match=r"in a way that cannot be fixed \(strftime_now\); name one"):
        make_template(PromptStyle(template="own"), model)


# --- tokens ---


def tokenizer(single: str) -> Tokenizer:
    """Words, two special tokens, and what is put around a text."""
    words = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", "<|user|>", "a", "b"])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<s>", "</s>", "<|user|>"])
    made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 1), ("</s>", 2)])
    return made


@pytest.mark.parametrize(
    ("single", "text", "ids"),
    [
        ("$A", "a b", [4, 5]),
        ("$A", "<|user|>a b", [3, 4, 5]),  # a special token is one id, though nothing parts it from the next word
        ("<s> $A", "a b", [1, 4, 5]),  # as the model was trained
        ("<s> $A", "<s>a b", [1, 4, 5]),  # the template has written it
        ("<s> $A", "<|user|>a", [1, 3, 4]),
        ("<s> $A </s>", "a b", [1, 4, 5]),  # an end token would end the completion before it begins
        ("$A </s>", "<s>a", [1, 4]),
    ],
)
def test_special_tokens_are_single_and_the_begin_token_stands_once(single: str, text: str, ids: list[int]) -> None:
    assert encode_prompt(tokenizer(single), text) == ids


def test_prompts_of_the_embedded_task_have_the_tokens_they_always_had(tokenizer: Tokenizer, pool: list) -> None:
    for prompt in pool:
        assert encode_prompt(tokenizer, prompt.text) == tokenizer.encode(prompt.text).ids


def test_the_longest_prompt_and_its_completion_must_fit() -> None:
    prompts = [Prompt("short", "a", "1", "x"), Prompt("long", "a b a b", "1", "x")]
    words = tokenizer("<s> $A")
    check_fit(prompts, words, context=15, max_new_tokens=10)  # 1 + 4 + 10
    with pytest.raises(ContextError) as caught:
        check_fit(prompts, words, context=14, max_new_tokens=10)
    assert str(caught.value) == (
        "prompt long has 5 tokens; with rollout.max_new_tokens 10 that is more than the model's context of 14: "
        "lower rollout.max_new_tokens to 9 or less"
    )


def test_an_end_token_is_no_part_of_the_text_whether_the_tokenizer_knows_it_as_one_or_not():
    plain = Tokenizer(models.WordLevel({"7": 0, "</s>": 1}, unk_token="7"))
    known = Tokenizer.from_str(plain.to_str())
    known.add_special_tokens(["</s>"])
    for tokenizer in (plain, known):
        assert decode_completion(tokenizer, (0, 0, 1), "stop") == "7 7"
        assert decode_completion(tokenizer, (0, 0), "length") == "7 7"
