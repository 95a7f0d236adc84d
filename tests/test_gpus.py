"""GPUs claimed on one machine: which, how many at a time, and free again when a job ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dopr.config.hardware import Hardware
from dopr.config.schema import Config, ConfigError
from dopr.runtime.gpus import (
    VISIBLE,
    NoDeviceError,
    choose_device,
    claim_gpus,
    in_listing,
    listed_gpus,
    use_gpus,
    visible_gpus,
)
from dopr.workflow.experiment import Experiment
from dopr.workflow.rule_params import RuleParams
from project import SMOKE, Project


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


HOLD = """
import sys, time
from pathlib import Path
from dopr.runtime.gpus import claim_gpus
held = claim_gpus(["0"], 1, 1, Path(sys.argv[1]), wait=True)
print("held", flush=True)
time.sleep(60)
"""


def job(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_place_of_a_killed_job_is_free_and_who_waited_has_it(tmp_path: Path) -> None:
    first = job(tmp_path)
    assert first.stdout.readline() == "held\n"
    with pytest.raises(NoDeviceError):
        claim_gpus(["0"], 1, 1, tmp_path)
    second = job(tmp_path)
    assert second.stderr.readline() == "waiting for 1 of 1 GPUs (0): jobs use them\n"
    first.kill()
    first.communicate()
    assert second.stdout.readline() == "held\n"
    second.kill()
    second.communicate()
    assert list(claim_gpus(["0"], 1, 1, tmp_path)) == ["0"]


def test_nobody_waits_for_gpus_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(
        NoDeviceError, match=r"needs 2 GPUs .* of the 1 visible GPUs .* or change hardware\.gpus or CUDA"
    ):
        claim_gpus(["0"], 2, 1, tmp_path, wait=True)


def test_only_what_is_visible_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dopr.runtime.gpus.claim_gpus.__defaults__", (tmp_path,))
    monkeypatch.setenv(VISIBLE, "3,5")
    assert visible_gpus() == ["3", "5"]
    with use_gpus(Hardware(gpus=1)):
        assert os.environ[VISIBLE] == "3"
    monkeypatch.setenv(VISIBLE, "3,5")
    with use_gpus(Hardware(gpus=2)):
        assert os.environ[VISIBLE] == "3,5"


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [("", []), ("-1", []), ("0, 2", ["0", "2"]), ("1,-1,2", ["1"]), ("GPU-a1,GPU-b2", ["GPU-a1", "GPU-b2"])],
)
def test_what_is_visible_is_read_as_cuda_reads_it(
    monkeypatch: pytest.MonkeyPatch, visible: str, gpus: list[str]
) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    assert listed_gpus() == gpus


def test_the_drivers_listing_has_a_line_for_each_gpu_and_more_for_its_parts() -> None:
    listing = (
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-1d2fd5cb-0000-0000-0000-000000000000)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-7f3e3ac8-0000-0000-0000-000000000000)\n"
        "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-2b1c9e5a-0000-0000-0000-000000000000)\n"
    )
    assert in_listing(listing) == ["0", "1"]
    assert in_listing("No devices found.\n") == []


def test_without_any_gpu_the_job_runs_on_the_processor_unless_it_must_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "")
    with use_gpus(Hardware(gpus=1)) as device:
        assert device == "cpu"
    with pytest.raises(NoDeviceError, match="sees no GPU"), use_gpus(Hardware(gpus=1, device="cuda")):
        pass


# --- how many jobs Snakemake runs at a time ---


@pytest.mark.parametrize(
    ("hardware", "visible", "given", "limits", "said"),
    [
        ({"gpus": 1}, "0,1", {}, {"gpu": 2}, "GPUs: 2 found, as with --resources gpu=2\n"),
        ({"gpus": 1, "share": 4}, "0,1", {}, {"gpu": 8}, "GPUs: 2 found, as with --resources gpu=8\n"),
        ({"gpus": 2}, "0,1", {"gpu": 1}, {"gpu": 1}, ""),
        ({}, "0,1", {}, {}, ""),
        (
            {"gpus": 1},
            "",
            {},
            {},
            "warning: hardware.gpus: 1 for a job, and no GPUs are found on this machine; if it has",
        ),
        (
            {"gpus": 8},
            "0,1",
            {},
            {},
            "warning: hardware.gpus: 8 for a job, and 2 GPUs are found on this machine; if it",
        ),
    ],
)
def test_the_gpus_of_this_machine_limit_the_jobs_unless_the_command_does(
    raw: dict, monkeypatch, capsys, hardware: dict, visible: str, given: dict, limits: dict, said: str
) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    raw["hardware"] |= hardware
    config, resources = Config.parse(raw), [dict(given), dict(given)]
    Experiment(config, RuleParams(config), Path()).limit_gpus(*resources)
    assert resources == [limits, limits]
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.slow
def test_jobs_follow_one_another_on_one_gpu_without_being_told_how_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs are ready at once, for one GPU. Each claims it, then runs on the processor if PyTorch sees none."""
    project = Project.copy(tmp_path)
    (tmp_path / "gpu.yaml").write_text("hardware: {gpus: 1}\nseeds: [0]\nrecipes: {random_one: {steps: 8}}\n")
    monkeypatch.setenv(VISIBLE, "0")
    targets = [f"results/train/easy/{method}/0/ledger.parquet" for method in ("grpo", "random_one")]
    code, output = project.snakemake("--cores", "2", *targets, *SMOKE, "gpu.yaml")
    assert code == 0, output
    assert "GPUs: 1 found, as with --resources gpu=1" in output
    assert "waiting for 1 of 1 GPUs" not in output  # Snakemake started them one after the other


@pytest.mark.parametrize(("device", "held"), [("cuda", 0.25), ("cpu", 0.0)])
def test_of_a_shared_gpu_a_job_holds_its_part(device: str, held: float) -> None:
    assert Hardware(gpus=1, share=4).held(device) == held


def test_a_job_without_gpus_leaves_what_is_visible_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "7,8")
    with use_gpus(Hardware()):
        assert os.environ[VISIBLE] == "7,8"


def test_the_gpus_that_slurm_assigned_are_left_alone_and_those_of_a_larger_allocation_are_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dopr.runtime.gpus.claim_gpus.__defaults__", (tmp_path,))
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv(VISIBLE, "7")
    with use_gpus(Hardware(gpus=1)):
        assert os.environ[VISIBLE] == "7"
        assert not list(tmp_path.iterdir())
    monkeypatch.setenv(VISIBLE, "6,7")
    with use_gpus(Hardware(gpus=1)):
        assert os.environ[VISIBLE] == "6"


def test_two_allocations_of_a_cluster_name_their_gpus_alike_and_do_not_share_locks() -> None:
    code = "from dopr.runtime.gpus import SLOTS; print(SLOTS)"
    folders = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **allocation}, capture_output=True, text=True, check=True
        ).stdout
        for allocation in ({}, {"SLURM_JOB_ID": "11"}, {"SLURM_JOB_ID": "12"})
    }
    assert len(folders) == 3


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
    monkeypatch.setenv(VISIBLE, "")
    with (
        pytest.raises(NoDeviceError, match=r"^hardware\.device: cuda, and PyTorch .* sees no GPU .* to auto$"),
        use_gpus(Hardware(gpus=1, device="cuda")),
    ):
        pass


def test_a_gpu_cannot_be_used_without_being_asked_for(raw: dict) -> None:
    raw["hardware"] |= {"device": "cuda"}
    with pytest.raises(ConfigError, match=r"hardware.device: cuda needs a GPU; set gpus to 1, or device to auto"):
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
    assert Hardware(processes=2).launcher == (
        "torchrun --standalone --nnodes 1 --nproc-per-node 2 -m dopr.runtime.launch torch"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"processes": 2, "gpus": 3}, "hardware.gpus: 3 for 2 processes; give each one, or none"),
        ({"processes": 2, "gpus": 2, "share": 2}, "hardware.share: 2 jobs on a GPU go with one process"),
        ({"processes": 0}, "hardware.processes: 0 is refused"),
    ],
)
def test_processes_and_gpus_must_fit_each_other(raw: dict, settings: dict, message: str) -> None:
    raw["hardware"] |= settings
    with pytest.raises(ConfigError, match=message):
        Config.parse(raw)
