"""`benchmarks/harness.py`: what it says without lm-eval, and the same answer as lm-eval's where it is installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import harness
from dopr.records import Prompt
from project import ROOT

INSTALLED = find_spec("lm_eval") is not None
COMMAND = ["--config", str(ROOT / "config.yaml")]


@pytest.mark.skipif(INSTALLED, reason="lm-eval is installed")
def test_without_lm_eval_one_line_says_what_to_install() -> None:
    with pytest.raises(SystemExit) as caught:
        harness.main(COMMAND)
    install = "pip install 'lm-eval[hf]', in an environment of its own"
    assert caught.value.code == f"error: lm-eval is not installed here: {install}"


def test_differences_of_texts_and_of_scores_are_named(capsys: pytest.CaptureFixture) -> None:
    questions = [Prompt(name, "?", answer, "sums") for name, answer in (("a", "7"), ("b", "8"), ("c", "9"))]
    texts = {"dopr": ["= 7", "8.", "2"], "lm-eval": ["= 7 ", "8.0", "2"]}
    scores = {
        "lm-eval": {"dopr": [True, True, False], "strict": [True, False, False]},
        "dopr": {"dopr": [True, True, False], "strict": [True, False, False]},
    }
    harness.report(questions, texts, scores)
    lines = capsys.readouterr().out.splitlines()
    assert "| dopr | dopr | 2 | 3 | 66.7 |" in lines
    assert "| lm-eval | strict | 1 | 3 | 33.3 |" in lines
    assert "2 of 3 completions are the same text" in lines
    assert "b: dopr '8.', lm-eval '8.0'" in lines
    assert "2 of 3 completions of dopr get the same score by strict" in lines
    assert "b: '8', correct by dopr: '8.'" in lines
    assert not any(line.startswith(("a:", "c:")) for line in lines)
