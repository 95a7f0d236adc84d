"""The tokenizer and the chat template of a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from dopr.config.data import PromptStyle
from dopr.data.templates import make_template
from dopr.models.gguf.file import read
from dopr.models.gguf.folder import write_model_folder
from dopr.models.gguf.tokenizer import build_tokenizer
from dopr.models.model_folder import end_tokens
from fixture_gguf import write


@pytest.mark.parametrize(
    ("split", "tokens"),
    [
        ("smollm", ["abc", "Ġ", "1", "2", "3", "Ġ", "1", "</s>"]),
        ("qwen2", ["abc", "Ġ", "1", "2", "3", "Ġ", "1", "</s>"]),
        ("gpt-2", ["abc", "Ġ", "12", "3", "Ġ1", "</s>"]),
        ("llama-bpe", ["abc", "Ġ", "12", "3", "Ġ", "1", "</s>"]),
    ],
)
def test_texts_are_split_as_the_file_says(split: str, tokens: list[str], tmp_path: Path) -> None:
    tokenizer = build_tokenizer(read(write(tmp_path / "small.gguf", split=split)))
    text = "abc 123 1</s>"
    encoding = tokenizer.encode(text, add_special_tokens=False)
    assert encoding.tokens == tokens
    assert tokenizer.decode(encoding.ids, skip_special_tokens=False) == text
    assert tokenizer.encode("abc").tokens == (["<s>", "abc"] if split == "llama-bpe" else ["abc"])


def test_the_chat_template_and_the_end_tokens_come_along(tmp_path: Path) -> None:
    file = write(tmp_path / "small.gguf", change=lambda writer: writer.add_uint32("tokenizer.ggml.eot_token_id", 3))
    write_model_folder(file, tmp_path / "model")
    template = make_template(PromptStyle(template="own"), str(tmp_path / "model"))
    assert template.render("7 + 5?") == "<s>user\n7 + 5?</s><s>assistant"
    assert end_tokens(tmp_path / "model") == [2, 3]
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")
    assert (
        tokenizer("ab 12")["input_ids"]
        == Tokenizer.from_file(str(tmp_path / "model/tokenizer.json")).encode("ab 12").ids
    )
