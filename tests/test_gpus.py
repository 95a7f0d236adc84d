"""GPUs claimed on one machine: which, how many at a time, and free again when a job ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dopr.config.hardware import Hardware
from dopr.config.schema import Config, ConfigError
from dopr.runtime.gpus import VISIBLE, NoDeviceError, choose_device, claim_gpus, use_gpus, visible_gpus
from dopr.workflow.experiment import Experiment
from dopr.workflow.rule_params import RuleParams


def test_jobs_get_different_gpus_until_none_is_left(tmp_path: Path) -> None:
    first = claim_gpus(["0", "1"], 1, 1, tmp_path)
    second = claim_gpus(["0", "1"], 1, 1, tmp_path)
    assert (list(first), list(second)) == (["0"], ["1"])
    with pytest.raises(NoDeviceError, match=r"needs 1 GPUs .* and 0 of the 2 .* --resources gpu=2"):
        claim_gpus(["0", "1"], 1, 1, tmp_path)


def test_a_shared_gpu_takes_as_many_jobs_as_stated_and_the_emptiest_is_first(tmp_path: Path) -> None:
    jobs = [claim_gpus(["0", "1"], 1, 2, tmp_path) for _ in range(4)]
    assert [next(iter(job)) for job in jobs] == ["0", "1", "0", "1"]
    with pytest.raises(NoDeviceError, match="--resources gpu=4"):
        claim_gpus(["0", "1"], 1, 2, tmp_path)


def test_a_job_of_several_gpus_gets_each_once(tmp_path: Path) -> None:
    assert list(claim_gpus(["a", "b", "c"], 2, 4, tmp_path)) == ["a", "b"]
    with pytest.raises(NoDeviceError, match="needs 4 GPUs"):
        claim_gpus(["a", "b", "c"], 4, 4, tmp_path)


def test_the_place_of_a_killed_job_is_free(tmp_path: Path) -> None:
    code = "import sys, time\nfrom pathlib import Path\nfrom dopr.runtime.gpus import claim_gpus\n"
    code += "held = claim_gpus(['0'], 1, 1, Path(sys.argv[1]))\nprint('held', flush=True)\ntime.sleep(60)"
    job = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    assert job.stdout.readline() == "held\n"
    with pytest.raises(NoDeviceError):
        claim_gpus(["0"], 1, 1, tmp_path)
    job.kill()
    job.communicate()
    assert list(claim_gpus(["0"], 1, 1, tmp_path)) == ["0"]


def test_only_what_is_visible_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dopr.runtime.gpus.claim_gpus.__defaults__", (tmp_path,))
    monkeypatch.setenv(VISIBLE, "3,5")
    assert visible_gpus() == ["3", "5"]
    with use_gpus(Hardware(gpus=1)):
        assert os.environ[VISIBLE] == "3"
    monkeypatch.setenv(VISIBLE, "3,5")
    with use_gpus(Hardware(gpus=2)):
        assert os.environ[VISIBLE] == "3,5"


@pytest.mark.parametrize(("device", "held"), [("cuda", 0.25), ("cpu", 0.0)])
def test_of_a_shared_gpu_a_job_holds_its_part(device: str, held: float) -> None:
    assert Hardware(gpus=1, share=4).held(device) == held


def test_a_schedulers_choice_and_a_job_without_gpus_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "7")
    with use_gpus(Hardware()):
        assert os.environ[VISIBLE] == "7"
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    with use_gpus(Hardware(gpus=1)):
        assert os.environ[VISIBLE] == "7"


# --- the device ---


@pytest.mark.parametrize(
    ("settings", "sees_one", "expected"),
    [
        ({"gpus": 0}, True, "cpu"),
        ({"gpus": 1}, True, "cuda"),
        ({"gpus": 1}, False, "cpu"),
        ({"gpus": 1, "device": "cpu"}, True, "cpu"),
        ({"gpus": 1, "device": "cuda"}, True, "cuda"),
    ],
)
def test_the_device_is_a_gpu_where_one_is_asked_for_and_seen(monkeypatch, settings, sees_one, expected) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: sees_one)
    assert choose_device(Hardware(**settings)) == expected


def test_a_gpu_that_must_be_used_and_is_not_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    with (
        pytest.raises(NoDeviceError, match=r"^hardware\.device: cuda, and PyTorch .* sees no GPU .* to auto$"),
        use_gpus(Hardware(gpus=1, device="cuda")),
    ):
        pass


def test_a_gpu_cannot_be_used_without_being_asked_for(raw: dict) -> None:
    raw["hardware"] |= {"device": "cuda"}
    with pytest.raises(ConfigError, match=r"hardware: device: cuda needs a GPU; set gpus to 1, or device to auto"):
        Config.parse(raw)


# --- processes that train together ---


def test_each_process_gets_its_own_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dopr.runtime.gpus.claim_gpus.__defaults__", (tmp_path,))
    hardware = Hardware(gpus=2, processes=2)
    seen = []
    monkeypatch.setenv(VISIBLE, "4,6")
    with use_gpus(hardware):
        seen.append(os.environ[VISIBLE])
        monkeypatch.setenv(VISIBLE, "4,6")  # as the other process finds it
        with use_gpus(hardware):
            seen.append(os.environ[VISIBLE])
    assert seen == ["4", "6"]


@pytest.mark.parametrize(
    ("hardware", "engine", "kinds"),
    [
        ({}, "torch", ["analysis", "torch"]),
        ({"gpus": 1}, "torch", ["analysis"]),
        ({}, "vllm", ["analysis"]),
    ],
)
def test_jobs_on_a_gpu_or_with_vllm_are_no_forks(raw, hardware, engine, kinds) -> None:
    raw["hardware"] |= hardware
    raw["rollout"]["engine"] = engine
    config = Config.parse(raw)
    assert Experiment(config, RuleParams(config), Path()).forked == kinds


def test_torchrun_starts_several_processes() -> None:
    assert Hardware().launcher == "python -m dopr.runtime.launch torch"
    assert Hardware(processes=2).launcher == "torchrun --standalone --nnodes 1 --nproc-per-node 2"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"processes": 2, "gpus": 3}, "hardware: gpus: 3 for 2 processes; give each one, or none"),
        ({"processes": 2, "gpus": 2, "share": 2}, "hardware: share: 2 jobs on a GPU go with one process"),
        ({"processes": 0}, "hardware.processes: 0 is refused"),
    ],
)
def test_processes_and_gpus_must_fit_each_other(raw: dict, settings: dict, message: str) -> None:
    raw["hardware"] |= settings
    with pytest.raises(ConfigError, match=message):
        Config.parse(raw)
