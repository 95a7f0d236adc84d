r"""Grading in a worker that can be killed: verdicts, hostile answers, and what happens when the worker fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from dopr.verify.worker_process import WorkerProcess

from dopr.config import Verify
from dopr.verify.grader import BATCH, MAX_ANSWER, Grader, GraderError

LENIENT = Verify(seconds=1, memory_mb=1024, max_error_share=1)
ENDLESS = "9^{9^{9^9}}"


def box(answer: object) -> str:
    return f"so \\boxed{{{answer}}}"


@pytest.fixture
def sent(monkeypatch) -> list[tuple[str, str]]:
    """Every pair that is really sent to a worker, apart from the one that tests whether it is ready."""
    pairs, send = [], WorkerProcess.send

    def note(worker, batch):
        ready, count = worker._ready, send(worker, batch)
        pairs.extend(batch[:count] if ready else [])
        return count

    monkeypatch.setattr(WorkerProcess, "send", note)
    return pairs


@pytest.mark.parametrize(
    ("reference", "text", "verdict"),
    [
        ("28", box(28), "correct"),
        ("28", "28", "unparsed"),
        ("28", box(27), "wrong"),
        ("28", box(-28), "wrong"),
        ("28", box("28.0"), "correct"),
        ("1/2", box(r"\frac{2}{4}"), "correct"),
        ("0.5", box(r"\frac{1}{2}"), "correct"),
        ("2", box(r"\sqrt{4}"), "correct"),
        ("x+1", box("1+x"), "correct"),
        ("28", box(""), "unparsed"),
        ("28", box("x^{"), "unparsed"),
        ("28", "\\boxed{27} no, " + box(28), "correct"),
        ("28", "\\boxed{28} no, " + box(27), "wrong"),
        ("28", "\\boxed{28", "unparsed"),
    ],
)
def test_verdicts(grader, reference, text, verdict):
    assert grader.grade([(reference, text)]) == [verdict]


def test_nothing_to_grade(grader):
    assert grader.grade([]) == []


@pytest.mark.parametrize("hostile", [ENDLESS, "(10^9)!"])
def test_a_hostile_answer_times_out_and_its_neighbours_keep_their_verdicts(limits, hostile):
    texts = [box(1), box(2), "so 1", box(hostile), box("1.0"), box(3), box("\\frac{3}{3}")]
    verdicts = ["correct", "wrong", "unparsed", "timeout", "correct", "wrong", "correct"]
    with Grader(limits) as grader:
        first = grader._worker._process
        assert grader.grade([("1", text) for text in texts]) == verdicts
        assert first.poll() is not None  # killed, and not left to compute on
        assert grader.grade([("1", box(1)), ("4", box(4))]) == ["correct", "correct"]
        assert dict(grader.counts) == {"correct": 5, "wrong": 2, "unparsed": 1, "timeout": 1}


def test_equal_pairs_are_compared_once(grader, sent):
    pairs = [("901", box(901)), ("901", "other words " + box(901)), ("902", box(901)), ("901", box(901))]
    assert grader.grade(pairs) == ["correct", "correct", "wrong", "correct"]
    assert sent == [("901", "901"), ("902", "901")]
    assert grader.grade(pairs) == ["correct", "correct", "wrong", "correct"]
    assert len(sent) == 2


def test_what_has_no_answer_or_too_long_a_one_is_never_sent(grader, sent):
    longest, longer = "1" * MAX_ANSWER, "1" * (MAX_ANSWER + 1)
    texts = [box(longer), box(longest), "no box", box(longer + "2"), box(911)]
    expected = ["unparsed", "wrong", "unparsed", "unparsed", "correct"]
    assert grader.grade([("911", text) for text in texts]) == expected
    assert sent == [("911", longest), ("911", "911")]


def test_more_pairs_than_fit_a_batch_keep_their_order(grader):
    count = 600
    assert count > 2 * BATCH
    pairs = [(str(i), box(i + i % 3 % 2)) for i in range(1000, 1000 + count)]
    verdicts = ["wrong" if i % 3 == 1 else "correct" for i in range(1000, 1000 + count)]
    assert grader.grade(pairs) == verdicts


# --- when the grader itself fails ---


def test_a_reference_that_cannot_be_parsed_is_an_error_and_too_many_stop_the_run(limits, capfd):
    with Grader(limits) as grader:
        grader.grade([(str(i), box(i)) for i in range(19)])
        assert grader.grade([("", box(1))]) == ["error"]  # 1 of 20 is the limit
        with pytest.raises(GraderError, match=r"10% of 21 verdicts are errors .* verify\.max_error_share = 0\.05"):
            grader.grade([("", box(2))])
    assert "reference answer '' cannot be parsed" in capfd.readouterr().err


def test_a_worker_killed_between_two_calls_costs_at_most_one_verdict():
    with Grader(LENIENT) as grader:
        grader.grade([("1", box(1))])
        os.kill(grader._worker._process.pid, signal.SIGKILL)
        grader._worker._process.wait()
        verdicts = grader.grade([(str(i), box(i)) for i in range(20, 60)])
    assert verdicts[0] in ("error", "correct")
    assert verdicts[1:] == ["correct"] * 39


def test_a_worker_killed_in_the_middle_of_a_batch_costs_at_most_one_verdict(monkeypatch):
    """The kill comes while the worker is at an answer it cannot finish."""
    waited, receive = [], WorkerProcess.receive

    def kill_at_the_sixth(worker, seconds):
        waited.append(seconds)
        if len(waited) == 7:  # the first one tests whether the worker is ready
            os.kill(worker._process.pid, signal.SIGKILL)
        return receive(worker, seconds)

    monkeypatch.setattr(WorkerProcess, "receive", kill_at_the_sixth)
    answers = [0, 1, 2, 3, 4, ENDLESS, 6, 7, 8, 9]
    with Grader(LENIENT) as grader:
        verdicts = grader.grade([(str(i), box(answer)) for i, answer in enumerate(answers)])
    assert verdicts[5] in ("error", "timeout")
    assert verdicts[:5] + verdicts[6:] == ["correct"] * 9


def test_a_worker_that_cannot_start_is_reported_and_not_taken_for_bad_answers(tmp_path, monkeypatch):
    (tmp_path / "math_verify.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Grader(LENIENT) as grader, pytest.raises(GraderError, match="is math-verify installed"):
        grader.grade([("1", box(1))])


def test_the_worker_ends_by_itself_when_its_input_closes():
    command = [sys.executable, "-m", "dopr.verify.worker", "1024", "9"]
    finished = subprocess.run(command, input='["2", "2"]\n["2", "3"]\n', capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stdout) == (0, "correct\nwrong\n")


def test_leaving_the_grader_ends_its_worker():
    with Grader(LENIENT) as grader:
        grader.grade([("1", box(1))])
        process = grader._worker._process
        assert process.poll() is None
    assert process.poll() is not None


def test_a_hostile_answer_before_many_long_ones_does_not_stop_the_run():
    """The worker reads no further while it hangs: what does not fit its pipe must not be waited for."""

    def give_up(*_: object) -> None:
        raise AssertionError("grading hangs")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10)
    try:
        with Grader(LENIENT) as grader:
            long = [("3", box(8 * 10**400 + i)) for i in range(BATCH - 1)]
            assert grader.grade([("3", box(ENDLESS)), *long]) == ["timeout"] + ["wrong"] * (BATCH - 1)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_a_worker_whose_parent_was_killed_does_not_compute_for_ever():
    command = [sys.executable, "-m", "dopr.verify.worker", "1024", "0.5"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        worker.stdin.write(json.dumps(["1", ENDLESS]) + "\n")
        worker.stdin.flush()
        assert worker.wait(timeout=60) == -signal.SIGALRM
