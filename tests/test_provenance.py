"""Provenance: where a result comes from, and nothing that changes from run to run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from dopr.files import sha256, write_json
from dopr.runtime.provenance import cpu_name, describe, git_commit, mixed_processors, versions, write


@pytest.fixture
def repository(tmp_path):
    """A git repository with one commit."""
    (tmp_path / "file").write_text("first\n")
    for command in (
        ["init", "--quiet"],
        ["add", "file"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "commit", "--quiet", "-m", "x"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def head(folder) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_the_whole_one_whatever_the_tags(repository):
    assert git_commit(repository) == head(repository)
    subprocess.run(["git", "-C", str(repository), "tag", "v1"], check=True)
    assert git_commit(repository) == head(repository)


def test_uncommitted_changes_show(repository):
    (repository / "file").write_text("second\n")
    assert git_commit(repository) == head(repository) + "+"


def test_outside_a_repository_or_without_git_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) == "unknown"


def test_a_description_names_settings_seed_versions_and_the_hashes_of_the_inputs(tmp_path):
    (tmp_path / "pool.jsonl").write_text("{}\n")
    settings = {"recipe": {"clip": 0.2}, "code": "ab"}
    found = describe(settings, 3, {"pool": tmp_path / "pool.jsonl"})
    assert (found["settings"], found["seed"]) == (settings, 3)
    assert found["inputs"] == {"pool": sha256(tmp_path / "pool.jsonl")}
    assert found["versions"]["torch"] == version("torch")
    assert {"python", "device", "processor", "commit"} <= found.keys()


def test_equal_runs_have_equal_bytes_and_another_input_shows(tmp_path):
    (tmp_path / "pool.jsonl").write_text("{}\n")
    files = []
    for name, content in (("a", "{}\n"), ("b", "{}\n"), ("c", "{ }\n")):
        (tmp_path / "pool.jsonl").write_text(content)
        write(tmp_path / name, describe({"x": 1}, 0, {"pool": tmp_path / "pool.jsonl"}))
        files.append((tmp_path / name / "provenance.json").read_bytes())
    assert files[0] == files[1] != files[2]
    assert json.loads(files[0])["seed"] == 0


def test_packages_that_an_environment_does_not_have_are_left_out(monkeypatch):
    monkeypatch.setattr("dopr.runtime.provenance.PACKAGES", ("numpy", "no-such-package"))
    assert versions() == {"numpy": version("numpy")}


# --- processors ---


def test_the_processor_has_its_model_and_the_instructions_that_pytorch_uses():
    """Held to fewer instructions, the same processor rounds differently, and so has another name."""
    code = "from dopr.runtime.provenance import cpu_name; print(cpu_name())"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    held = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    model, _, instructions = held.stdout.strip().rpartition(" (")
    assert instructions == "DEFAULT)"
    assert cpu_name().startswith(f"{model} (")
    assert model in Path("/proc/cpuinfo").read_text() or model == os.uname().machine


def finished(folder, **provenance):
    write_json(folder / "provenance.json", provenance)
    return folder


def test_a_comparison_of_runs_from_two_processors_is_called_mixed_in_one_line(tmp_path):
    first = [finished(tmp_path / f"a/{seed}", device="cpu", cpu="EPYC (AVX2)") for seed in (0, 1)]
    assert mixed_processors(first) == ""
    other = finished(tmp_path / "b/0", device="cpu", cpu="EPYC (AVX512)")
    assert mixed_processors([*first, other]) == (
        "runs of this comparison are from different processors, on which equal seeds give other bytes "
        f"(EPYC (AVX2): 2, such as {first[0]}; EPYC (AVX512): 1, such as {other}); delete those of one to run them "
        "again on the other"
    )


def test_the_processor_beside_a_gpu_does_not_count_and_the_gpu_does(tmp_path):
    runs = [finished(tmp_path / name, device="L4", cpu=f"{name} (AVX2)") for name in ("EPYC", "Xeon")]
    assert mixed_processors(runs) == ""
    assert "(H100: 1, such as" in mixed_processors([*runs, finished(tmp_path / "c", device="H100", cpu="EPYC (AVX2)")])


def test_runs_that_do_not_say_where_they_are_from_are_left_out(tmp_path):
    """Results of older versions, and from elsewhere."""
    old = finished(tmp_path / "old", device="cpu", processor="x86_64")
    new = finished(tmp_path / "new", device="cpu", cpu="EPYC (AVX2)")
    assert mixed_processors([old, new, tmp_path / "missing"]) == ""
