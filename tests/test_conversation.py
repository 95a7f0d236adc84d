"""Conversations: read from rows, written whole by a model's own template, and refused where a turn would be lost."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from dopr.config.data import PromptStyle, Source
from dopr.config.schema import Config
from dopr.data.conversation import Conversation, Turn, read_turns, turns_of
from dopr.data.dataset import make_dataset
from dopr.data.sources import load_source
from dopr.data.templates import Template, make_template
from dopr.files import DataError
from dopr.records import Prompt

SYSTEM = {"role": "system", "content": "Be brief."}
FIRST = {"role": "user", "content": "1 + 1?"}
REPLY = {"role": "assistant", "content": "Two."}
LAST = {"role": "user", "content": "And 2 + 2?"}
LONG = [SYSTEM, FIRST, REPLY, LAST]
CHAT = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}[assistant]"
USERS_ALONE = "{% for m in messages if m.role == 'user' %}[{{ m.content }}]{% endfor %}"
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
)


def load(folder: Path, *conversations: object, **fields: object) -> list[Prompt]:
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps({"prompt": chat, "answer": "4"}) + "\n" for chat in conversations))
    return load_source("chats", Source(**{"file": path, "question": "prompt", **fields}), None).prompts


def own(tiny: Path, folder: Path, text: str, **style: str) -> Template:
    if not folder.exists():
        shutil.copytree(tiny, folder)
        (folder / "chat_template.jinja").write_text(text)
    return make_template(PromptStyle(template="own", **style), str(folder))


# --- rows ---


def test_a_field_with_messages_is_a_conversation(tmp_path: Path) -> None:
    (prompt,) = load(tmp_path, LONG)
    assert isinstance(prompt, Conversation)
    assert [turn._asdict() for turn in prompt.turns] == LONG
    assert prompt.text == "1 + 1?\nTwo.\nAnd 2 + 2?\n"  # by which questions are compared: no system turn


def test_one_message_of_the_user_is_a_question(tmp_path: Path) -> None:
    assert load(tmp_path, [FIRST]) == load(tmp_path, "1 + 1?") == [Prompt("chats-0", "1 + 1?\n", "4", "chats")]
    assert turns_of(load(tmp_path, [FIRST])[0]) == (Turn("user", "1 + 1?"),)
    (prompt,) = load(tmp_path, LONG, question="prompt.-1.content")
    assert prompt.text == "And 2 + 2?\n"


def test_a_suffix_ends_the_last_turn(tmp_path: Path) -> None:
    (prompt,) = load(tmp_path, LONG, suffix=" Box it.")
    assert [turn.content for turn in turns_of(prompt)] == ["Be brief.", "1 + 1?", "Two.", "And 2 + 2? Box it."]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "and neither text nor a list of chat messages; every row needs some"),
        ([FIRST, REPLY], "and its last turn is the assistant's; the policy answers the user: end it there"),
        ([SYSTEM], "and its last turn is the system's"),
        ([FIRST, SYSTEM, LAST], "and has a system turn after the first turn"),
        ([{"from": "human", "value": "a"}], "where \"{'from': 'human', 'value': 'a'}\" is no message of a role"),
        ([{"role": "tool", "content": "a"}, FIRST], "is no message of a role, system, user or assistant, and content"),
        ([{"role": "user", "content": " "}], "is no message of a role"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], "is no message of a role"),
        (["a"], "where 'a' is no message of a role"),
    ],
)
def test_what_is_no_conversation_is_refused(value: object, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        read_turns(value)
    assert message in str(caught.value)


# --- a model's own template ---


@pytest.mark.parametrize("chat", [LONG, [SYSTEM, FIRST], [FIRST, REPLY, LAST]])
def test_a_conversation_is_written_as_transformers_does(tiny: Path, tmp_path: Path, chat: list) -> None:
    from transformers import AutoTokenizer

    (written,) = [own(tiny, tmp_path / "model", CHAT).apply(prompt) for prompt in load(tmp_path, chat)]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "".join(f"[{turn['role']}]{turn['content']}" for turn in chat) + "[assistant]"
    assert written == Prompt("chats-0", text, "4", "chats")
    assert type(written) is Prompt


def test_the_system_turn_of_a_row_goes_before_that_of_the_configuration(tiny: Path, tmp_path: Path) -> None:
    template = own(tiny, tmp_path / "model", CHAT, system="Be long.", suffix=" Go.")
    texts = [template.apply(prompt).text for prompt in load(tmp_path, [SYSTEM, FIRST], [FIRST])]
    assert texts == ["[system]Be brief.[user]1 + 1? Go.[assistant]", "[system]Be long.[user]1 + 1? Go.[assistant]"]


def test_a_turn_that_the_template_would_leave_out_is_an_error(tiny: Path, tmp_path: Path) -> None:
    template = own(tiny, tmp_path / "model", USERS_ALONE)
    assert template.render("1 + 1?") == "[1 + 1?]"
    with pytest.raises(DataError) as caught:
        template.apply(load(tmp_path, [SYSTEM, FIRST])[0])
    assert str(caught.value) == (
        f"prompt chats-0: the chat template of {tmp_path}/model does not write the system turn once; name another "
        "prompt.template, or one turn as the source's `question`, such as messages.-1.content"
    )
    with pytest.raises(DataError) as caught:
        own(tiny, tmp_path / "model", USERS_ALONE, system="Be brief.")
    assert str(caught.value) == (
        f"prompt.template: the chat template of {tmp_path}/model does not write the system turn once; set "
        "prompt.system to null, or name another"
    )


def test_a_turn_that_the_template_refuses_is_an_error_of_one_line(tiny: Path, tmp_path: Path) -> None:
    template = own(tiny, tmp_path / "model", NO_SYSTEM)
    assert template.apply(load(tmp_path, [FIRST, REPLY, LAST])[0]).text.startswith("[user]1 + 1?[assistant]Two.[user]")
    with pytest.raises(DataError) as caught:
        template.apply(load(tmp_path, LONG)[0])
    refused = f"the chat template of {tmp_path}/model refuses turns of"
    assert str(caught.value).startswith(
        f"prompt chats-0: {refused} system, user, assistant, user (System role not supported); name another"
    )
    with pytest.raises(DataError) as caught:
        own(tiny, tmp_path / "model", NO_SYSTEM, system="Be brief.")
    assert str(caught.value) == (
        f"prompt.template: {refused} system, user (System role not supported); set prompt.system to null, or name "
        "another"
    )


@pytest.mark.parametrize(
    ("name", "takes_system"),
    [
        ("qwen2_5", True),
        ("qwen3", True),
        ("llama3_2", True),
        ("deepseek_r1_distill", True),
        ("phi3", True),
        ("gemma", False),
    ],
)
def test_the_chat_templates_that_models_bring_along(tiny: Path, tmp_path: Path, name: str, takes_system: bool) -> None:
    package = find_spec("trl")  # has copies of them
    if package is None or package.origin is None:
        pytest.skip("trl is not installed")
    template = own(tiny, tmp_path / "model", (Path(package.origin).parent / f"chat_templates/{name}.jinja").read_text())
    (prompt,) = load(tmp_path, [FIRST, REPLY, LAST])
    said = [template.apply(prompt).text.index(turn.content) for turn in turns_of(prompt)]
    assert said == sorted(said)
    (prompt,) = load(tmp_path, LONG)
    if takes_system:
        assert "Be brief." in template.apply(prompt).text
    else:
        with pytest.raises(DataError, match=r"refuses turns of .* \(System role not supported\); name another"):
            template.apply(prompt)


# --- templates by name ---


def test_a_named_template_takes_one_turn_of_the_system_and_one_of_the_user(tmp_path: Path) -> None:
    template = make_template(PromptStyle(template="qwen25-math-cot"), None)
    (prompt,) = load(tmp_path, [SYSTEM, FIRST])
    assert template.apply(prompt).text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n"
    )
    with pytest.raises(DataError, match=r"prompt chats-0: template qwen25-math-cot cannot have turns of system, u"):
        template.apply(load(tmp_path, LONG)[0])


@pytest.mark.parametrize("name", ["plain", "dsr-boxed"])
def test_a_template_without_a_place_for_a_system_turn_refuses_it(tmp_path: Path, name: str) -> None:
    template = make_template(PromptStyle(template=name), None)
    with pytest.raises(DataError, match=f"prompt chats-0: template {name} takes no system turn; name another"):
        template.apply(load(tmp_path, [SYSTEM, FIRST])[0])


# --- all of it ---


def test_pools_of_conversations_are_drawn_compared_and_written(raw: dict, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "exam.jsonl").write_text(json.dumps({"question": "1 + 1?", "answer": "2"}) + "\n")
    load(tmp_path, [SYSTEM, FIRST], LONG)
    raw["data"]["sources"] = {
        "exam": {"file": str(tmp_path / "exam.jsonl")},
        "chats": {"file": str(tmp_path / "chats.jsonl"), "question": "prompt"},
    }
    raw["data"]["benchmarks"] = {"real": ["exam"]}
    raw["data"]["pools"] = {"easy": {"source": "chats"}, "hard": {"source": "chats"}}
    found = make_dataset(Config.parse(raw).data, own(tiny, tmp_path / "model", CHAT))
    assert found.account["pools"]["easy"] == {"prompts": 2, "benchmark_questions": {"exam": 1}}
    assert [prompt.text for prompt in found.pools["easy"]] == [
        "[system]Be brief.[user]1 + 1?[assistant]",
        "[system]Be brief.[user]1 + 1?[assistant]Two.[user]And 2 + 2?[assistant]",
    ]
    assert found.locations["chats-1"] == f"{tmp_path}/chats.jsonl: row 2"
