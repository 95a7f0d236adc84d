"""Provenance: where a result comes from, and nothing that changes from run to run."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import version

import pytest

from dopr.files import sha256
from dopr.runtime.provenance import describe, git_commit, versions, write


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
