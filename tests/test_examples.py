"""The examples run as they are, and show what they say."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from project import ROOT


@pytest.mark.slow
def test_the_minimal_loop_trains_by_both_methods() -> None:
    command = [sys.executable, ROOT / "examples/minimal.py"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^(\w+) +(\d+) +([\d.]+)% +([\d.]+)%$", shown, re.MULTILINE)
    assert [row[:2] for row in rows] == [("grpo", "2560"), ("dopr_cold", "160")]
    for _, _, before, after in rows:
        assert float(before) < float(after)
