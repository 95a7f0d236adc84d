"""How rollouts are shared out, among threads that stand for processes; engines that draw seeds show who drew what."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dopr.rollout import data_parallel
from dopr.rollout.data_parallel import DataParallel
from dopr.rollout.engine import Sample

PROMPTS = [[1], [2, 2], [3], [4], [5, 5, 5]]


class Seeds:
    """Draws the seed of each sample, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        self.asked += [(*prompt, seed + i * n + j) for i, prompt in enumerate(prompts) for j in range(n)]
        return [[Sample((seed + i * n + j,), (0.0,), "stop") for j in range(n)] for i in range(len(prompts))]


def drawn(
    monkeypatch: pytest.MonkeyPatch, processes: int, together: int, prompts: Sequence[Sequence[int]], n: int
) -> tuple[list[Any], list[list[tuple[int, ...]]]]:
    """What each process gets, and what its engine was asked for."""
    mine, meet, board = threading.local(), threading.Barrier(processes, timeout=20), [None] * processes

    def gathered(part: Any) -> list[Any]:
        board[mine.rank] = part
        meet.wait()
        found = list(board)
        meet.wait()
        return found

    def ask(rank: int) -> tuple[Any, Any]:
        mine.rank, engine = rank, Seeds()
        return DataParallel(engine, together).generate(prompts, n, 1.0, 8, seed=100), engine.asked

    monkeypatch.setattr(data_parallel, "world_size", lambda: processes)
    monkeypatch.setattr(data_parallel, "rank", lambda: mine.rank)
    monkeypatch.setattr(data_parallel, "all_gather", gathered)
    with ThreadPoolExecutor(processes) as pool:
        got, asked = zip(*pool.map(ask, range(processes)), strict=True)
    return list(got), list(asked)


@pytest.mark.parametrize(("processes", "together"), [(1, 1), (2, 1), (2, 2), (3, 1), (4, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize(("count", "n"), [(5, 1), (5, 3), (1, 4), (2, 3), (1, 1)])
def test_every_sample_is_drawn_once_with_its_own_seed_and_all_get_all(
    monkeypatch: pytest.MonkeyPatch, processes: int, together: int, count: int, n: int
) -> None:
    got, asked = drawn(monkeypatch, processes, together, PROMPTS[:count], n)
    expected = [[Sample((100 + i * n + j,), (0.0,), "stop") for j in range(n)] for i in range(count)]
    assert got == [expected] * processes
    engines = asked[::together]
    assert asked == [each for each in engines for _ in range(together)]
    work = sorted(each for engine in engines for each in engine)
    assert work == sorted((*PROMPTS[i], 100 + i * n + j) for i in range(count) for j in range(n))


def test_neighbours_that_share_an_engine_share_what_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processes with two engines: two prompts for the first pair, three for the second."""
    _, asked = drawn(monkeypatch, 4, 2, PROMPTS, 1)
    first, second = [(1, 100), (2, 2, 101)], [(3, 102), (4, 103), (5, 5, 5, 104)]
    assert asked == [first, first, second, second]
