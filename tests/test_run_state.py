"""A run's working state: whose it is, which checkpoint counts, and what killed writes leave."""

from __future__ import annotations

import fcntl
import subprocess
import sys

import pytest
import torch

from dopr.files import read_json
from dopr.runtime.run_state import CheckpointError, RunState, check_same_job, flatten

JOB = {"recipe": {"clip": 0.2, "betas": [0.9, 0.99], "reuse": None}, "seed": 3}
CODE = {"dopr.a": "1", "dopr.b": "2"}
OTHER = {"dopr.a": "1", "dopr.b": "3", "dopr.c": "4"}


@pytest.fixture
def state(tmp_path) -> RunState:
    state = RunState(tmp_path / "easy" / "grpo" / "3")
    state.folder.mkdir(parents=True)
    return state


def names(state: RunState) -> list[str]:
    return sorted(path.name for path in state.folder.iterdir())


def progress(state: RunState) -> None:
    """What a stopped run leaves: a checkpoint, a part of the ledger and a snapshot."""
    state.claim(JOB, CODE, "stop")
    state.save(4, {"metrics": [1.0]})
    (state.folder / "ledger").mkdir()
    (state.folder / "ledger" / "00000004.parquet").write_bytes(b"rows")
    state.snapshot(2).mkdir(parents=True)


# --- checkpoints ---


def test_a_new_state_has_no_checkpoint(state):
    assert state.load() is None


def test_a_checkpoint_comes_back_bit_for_bit(state):
    tensor = torch.randn(5, 3)
    saved = {
        "policy": {"weight": tensor},
        "optimiser": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]},
        "selector": {"visits": {"p1": 2}, "recent": {"p1": [[1.0, 0.0]]}},
        "replay": {},
        "metrics": [{"step": 1, "reward": 0.5}],
        "watch": {"laps": [(1, 0.1, 0.2, 0.0)]},
    }
    state.save(7, saved)
    step, loaded = state.load()
    assert step == 7
    assert torch.equal(loaded.pop("policy")["weight"], tensor)
    assert loaded == {key: value for key, value in saved.items() if key != "policy"}


def test_the_newest_checkpoint_counts_and_older_ones_go(state):
    for step in (9, 10, 100):
        state.save(step, {"step": step})
    assert state.load() == (100, {"step": 100})
    assert names(state) == ["step-00000100"]


def test_of_two_checkpoints_the_newer_one_counts(state):
    """As after a kill between writing the new one and dropping the old one."""
    other = RunState(state.folder.parent / "other")
    state.save(9, {"step": 9})
    other.save(10, {"step": 10})
    (other.folder / "step-00000010").rename(state.folder / "step-00000010")
    assert state.load() == (10, {"step": 10})


def test_a_damaged_checkpoint_is_named_with_the_way_on(state):
    state.save(9, {"weights": torch.zeros(50)})
    path = state.folder / "step-00000009/state.pt"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # PyTorch itself would load it
    for damaged in (b"", whole[:-1], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            state.load()
        assert str(caught.value) == f"{path}: a damaged checkpoint; delete {state.folder} to start the run over"
    path.write_bytes(whole)
    assert state.load()[0] == 9


# --- whose state it is ---


def test_the_same_job_goes_on_with_what_is_there(state):
    progress(state)
    before = names(state)
    state.claim(JOB, CODE, "stop")
    assert names(state) == before
    assert state.load() == (4, {"metrics": [1.0]})


def test_another_configuration_is_refused_with_the_key_and_both_values_and_nothing_is_lost(state):
    progress(state)
    before = names(state)
    with pytest.raises(CheckpointError) as caught:
        state.claim({**JOB, "recipe": {**JOB["recipe"], "clip": 0.3}}, CODE, "restart")
    message = str(caught.value)
    assert message.startswith(f"{state.folder}: this checkpoint was written with recipe.clip = 0.2, now it is 0.3; ")
    assert "delete the folder to start over" in message
    assert "\n" not in message
    assert names(state) == before
    assert read_json(state.folder / "job.json") == JOB


def test_other_code_starts_over_and_says_so(state, capsys):
    progress(state)
    assert state.claim(JOB, OTHER, "restart") == []
    assert names(state) == ["code.json", "job.json"]
    assert read_json(state.folder / "code.json") == {"modules": OTHER, "changes": []}
    assert "the code changed since this run was stopped; it starts over" in capsys.readouterr().err


def test_another_configuration_with_other_code_is_still_refused(state):
    progress(state)
    with pytest.raises(CheckpointError, match="seed = 3, now it is 4"):
        state.claim({**JOB, "seed": 4}, OTHER, "restart")
    assert state.load() == (4, {"metrics": [1.0]})


def test_other_code_may_be_refused_with_the_modules_and_both_ways_on(state):
    progress(state)
    before = names(state)
    with pytest.raises(CheckpointError) as caught:
        state.claim(JOB, OTHER, "stop")
    assert str(caught.value) == (
        f"{state.folder}: the code of dopr.b, dopr.c changed since this run was stopped after step 4; "
        "--config on_code_change=continue goes on from there, on_code_change=restart starts over"
    )
    assert names(state) == before
    assert state.claim(JOB, CODE, "stop") == []


def test_other_code_may_go_on_and_it_is_noted_for_good(state):
    progress(state)
    noted = [{"step": 4, "modules": ["dopr.b", "dopr.c"]}]
    assert state.claim(JOB, OTHER, "continue") == noted
    assert state.load() == (4, {"metrics": [1.0]})
    assert state.claim(JOB, OTHER, "stop") == noted
    state.save(6, {"metrics": []})
    assert state.claim(JOB, CODE, "continue") == [*noted, {"step": 6, "modules": ["dopr.b", "dopr.c"]}]


@pytest.mark.parametrize("policy", ["restart", "stop", "continue"])
def test_before_the_first_checkpoint_there_is_nothing_to_lose(state, policy):
    state.claim(JOB, CODE, policy)
    assert state.claim(JOB, OTHER, policy) == []


@pytest.mark.parametrize(
    ("theirs", "ours", "named"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, "b = None, now it is 2"),
        ({"a": 1, "b": 2}, {"a": 1}, "b = 2, now it is None"),
        ({"a": {"b": None}}, {"a": {"b": {"c": 1}}}, "a.b.c = None, now it is 1"),
        ({"a": [1, 2]}, {"a": [2, 1]}, r"a = \[1, 2\], now it is \[2, 1\]"),
    ],
)
def test_keys_that_came_or_went_are_differences_too(tmp_path, theirs, ours, named):
    with pytest.raises(CheckpointError, match=named):
        check_same_job(tmp_path, theirs, ours)


def test_inputs_that_an_older_version_did_not_record_do_not_stop_a_run(tmp_path):
    before, now = {"inputs": {"pool": "0a"}}, {"inputs": {"pool": "0a", "tokenizer.json": "1b"}}
    check_same_job(tmp_path, before, now)
    with pytest.raises(CheckpointError, match=r"inputs.tokenizer.json = '1b', now it is '2c'"):
        check_same_job(tmp_path, now, {"inputs": {"pool": "0a", "tokenizer.json": "2c"}})


def test_nested_mappings_become_dotted_keys():
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}


def test_a_run_that_went_on_elsewhere_has_the_names_of_both_processors(state):
    progress(state)
    assert state.add_processor("EPYC (AVX2)") == ["EPYC (AVX2)"]
    assert state.add_processor("EPYC (AVX2)") == ["EPYC (AVX2)"]
    assert state.add_processor("Xeon (AVX512)") == ["EPYC (AVX2)", "Xeon (AVX512)"]
    state.claim(JOB, OTHER, "restart")  # from the beginning, so only the processor that begins counts
    assert state.add_processor("Xeon (AVX512)") == ["Xeon (AVX512)"]


# --- killed writes and other processes ---


def test_the_leftovers_of_killed_writes_are_swept(state):
    progress(state)
    half = state.folder / ".step-00000008.4711.part"
    half.mkdir()
    (half / "state.pt").write_bytes(b"half")
    state.claim(JOB, CODE, "stop")
    assert not half.exists()
    assert state.load() == (4, {"metrics": [1.0]})


HOLD = """
import sys
from pathlib import Path
from dopr.runtime.run_state import RunState
with RunState(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_state_is_held_by_one_process_at_a_time_and_let_go_when_that_dies(state):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    with (state.folder / "lock").open("w") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        other.kill()
        other.communicate()
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_whoever_comes_second_says_that_it_waits(state):
    code = HOLD.replace("sys.stdin.read()", "")
    with state.held():
        second = subprocess.Popen(
            [sys.executable, "-c", code, str(state.folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert "another process runs this job; waiting for it" in second.stderr.readline()
        assert second.poll() is None
    out, _ = second.communicate(timeout=60)
    assert (second.returncode, out) == (0, "held\n")
