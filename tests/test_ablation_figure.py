"""The figure of controls and ablations: what is drawn is what the frame holds, and it can be read."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from dopr.analysis.comparison import compare
from dopr.analysis.display_names import display_name
from dopr.analysis.results import Results
from dopr.figures.ablation import draw
from dopr.figures.curves import collect
from dopr.figures.style import COLUMN, PAGE, save
from fixture_results import make_results

METHODS = ["grpo", "random_one", "max_variance_one", "one_shot", "dopr", "random_one_reuse", "dopr_reuse"]
SEEDS = [0, 1, 2]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(make_results(tmp_path_factory.mktemp("results"), ("easy", "hard"), tuple(METHODS)))


def frame_of(results: Results, pools: list[str], methods: list[str]) -> pd.DataFrame:
    return collect(results, [compare(results, pool, methods, SEEDS, 100) for pool in pools], "rollouts")


@pytest.fixture(scope="module")
def frame(results: Results) -> pd.DataFrame:
    return frame_of(results, ["easy", "hard"], METHODS)


@pytest.fixture(scope="module")
def figure(frame: pd.DataFrame) -> Figure:
    return draw(frame)


def test_a_row_has_the_final_mean_its_interval_every_seed_and_the_highest_mean(
    frame: pd.DataFrame, figure: Figure
) -> None:
    for axes, pool in zip(figure.subfigs[0].axes, ("easy", "hard"), strict=True):
        assert [tick.get_text() for tick in figure.subfigs[0].axes[0].get_yticklabels()] == list(
            map(display_name, METHODS)
        )
        drawn = axes.get_lines()
        for place, method in enumerate(METHODS):
            rows = frame[(frame["pool"] == pool) & (frame["method"] == method)]
            mean, seeds = rows[rows["seed"] == "mean"], rows[rows["seed"] != "mean"]
            last = mean[mean["step"] == mean["step"].max()].iloc[0]
            ends, best, ticks, dot = (np.asarray(line.get_xdata(), float) for line in drawn[4 * place : 4 * place + 4])
            assert ends.tolist() == [last["low"], last["high"]]
            assert best.tolist() == [mean["accuracy"].max()]
            assert ticks.tolist() == [seeds[seeds["seed"] == str(seed)]["accuracy"].iloc[-1] for seed in SEEDS]
            assert dot.tolist() == [last["accuracy"]]
            assert last["low"] <= last["accuracy"] <= last["high"]


def test_a_panel_a_method_shows_its_mean_and_seeds_before_the_means_of_the_others(
    frame: pd.DataFrame, figure: Figure
) -> None:
    panels = [axes for axes in figure.subfigs[1].axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == list(map(display_name, METHODS))
    for axes, method in zip(panels, METHODS, strict=True):
        bold = [line for line in axes.get_lines() if line.get_linewidth() == 1.2]
        assert len(bold) == 2
        for line, pool in zip(bold, ("easy", "hard"), strict=True):
            rows = frame[(frame["pool"] == pool) & (frame["method"] == method) & (frame["seed"] == "mean")]
            trained = rows[rows["rollouts"] > 0]
            assert np.asarray(line.get_xdata()).tolist() == trained["rollouts"].tolist()
            assert np.asarray(line.get_ydata()).tolist() == trained["accuracy"].tolist()
        # The two means, three seeds of each, six other methods on two pools, and two base policies.
        assert len(axes.get_lines()) == 2 + 2 * 3 + 2 * 6 + 2


def texts(figure: Figure) -> list[Text]:
    """Everything that is written."""
    FigureCanvasAgg(figure).draw()
    found = set(figure.findobj(Text))
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not axes.axison or not low <= tick.get_loc() <= high:  # is not drawn
                    found -= {tick.label1, tick.label2}
    return [text for text in found if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize(
    ("pools", "methods"),
    [(["easy"], METHODS[:2]), (["easy"], METHODS[:5]), (["easy", "hard"], METHODS)],
    ids=["two", "five", "seven"],
)
def test_no_text_overlaps_another_and_all_is_on_the_page(
    results: Results, pools: list[str], methods: list[str]
) -> None:
    figure = draw(frame_of(results, pools, methods))
    assert figure.get_figwidth() in (COLUMN, PAGE)
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    assert set(map(display_name, methods)) <= {text for text, _ in boxes}
    for text, box in boxes:
        assert figure.bbox.padded(1).contains(*box.min), text
        assert figure.bbox.padded(1).contains(*box.max), text
    for (first, one), (second, other) in combinations(boxes, 2):
        assert not one.overlaps(other), (first, second)


def test_the_same_frame_gives_the_same_bytes(frame: pd.DataFrame, figure: Figure, tmp_path: Path) -> None:
    save(figure, frame, tmp_path / "once")
    save(draw(frame), frame, tmp_path / "again")
    for suffix in (".pdf", ".png", ".csv"):
        once, again = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("once", "again"))
        assert once == again


@pytest.mark.parametrize(
    ("method", "shown"),
    [
        ("grpo_random", "GRPO, random"),
        ("dopr_cold_noise_30", "DoPR, own visits, noise 30"),
        ("dopr_coldly", "DoPR, coldly"),
        ("one_shot_PG-WD-KL", "1-shot, PG-WD-KL"),
        ("dopr_exploration_0.25", "DoPR, exploration 0.25"),
        ("random_one_long_reuse", "random-1, long + reuse"),
        ("doprx", "doprx"),
        ("my_method", "my method"),
    ],
)
def test_a_variant_is_called_after_the_method_it_is_a_variant_of(method: str, shown: str) -> None:
    assert display_name(method) == shown
