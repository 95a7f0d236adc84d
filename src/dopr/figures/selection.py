"""Figure of the prompts that methods chose: each choice over time, steps with a gradient, rollouts by family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dopr.analysis.display_names import display_name
from dopr.analysis.results import Results
from dopr.config.schema import Config
from dopr.figures.style import GREY, PAGE, PALETTE, legend_below, letter, log_axis, looks, new_figure

POINTS = 60  # points of a curve of panel "gradient"
SMALLEST = 64  # rollouts at the first of them
NAMED = 0.1  # smallest share of the pool that leaves room for a family's name
COLUMNS = 5  # panels in a row of scatters
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers for the pool `part`."""
    frame = collect(results, part, config.methods, config.seeds)
    return draw(frame), frame


def collect(results: Results, pool: str, methods: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Return rows of three kinds, distinguished by `panel`.

    choice: one row per group of the first seed: method, step, rollouts, prompt, family, place. `rollouts` are those
        until the next group is begun. `place` is the prompt's position in the order by family (highest mean reward
        over these runs first), then by file order.
    gradient: method, seed, rollouts, share: the share of the steps so far whose update had a gradient.
    family: method, seed, family, share: the share of the rollouts spent on a family.
    """
    ledgers = {(method, seed): results.ledger(pool, method, seed) for method in methods for seed in seeds}
    family = {prompt.id: prompt.family for prompt in results.prompts(pool)}
    families = _by_reward(ledgers, family)
    prompts = sorted(family, key=lambda prompt: families.index(family[prompt]))  # stable: file order within a family
    position = {prompt: i for i, prompt in enumerate(prompts)}
    frames = [_choices(ledgers[method, seeds[0]], method, family, position) for method in methods]
    for (method, seed), ledger in ledgers.items():
        gradient = _gradient(results.metrics(pool, method, seed))
        frames.append(gradient.assign(panel="gradient", method=method, seed=seed))
        shares = ledger["prompt"].map(family).value_counts(normalize=True).reindex(families, fill_value=0.0)
        rows = {"family": shares.index, "share": shares.to_numpy()}
        frames.append(pd.DataFrame(rows).assign(panel="family", method=method, seed=seed))
    return pd.concat(frames, ignore_index=True).assign(pool=pool)


def _by_reward(ledgers: Mapping[Any, pd.DataFrame], family: Mapping[str, str]) -> list[str]:
    """Return the families of a pool by falling mean reward; those never tried are last."""
    rewards = pd.concat([ledger[["prompt", "reward"]] for ledger in ledgers.values()])
    means = rewards.groupby(rewards["prompt"].map(family))["reward"].mean().to_dict()
    return sorted(set(family.values()), key=lambda name: (-means.get(name, -1.0), name))


def _choices(ledger: pd.DataFrame, method: str, family: Mapping[str, str], position: Mapping[str, int]) -> pd.DataFrame:
    starts = np.flatnonzero(ledger["sample"] == 0)
    groups = ledger.iloc[starts]
    return pd.DataFrame(
        {
            "panel": "choice",
            "method": method,
            "step": groups["step"].to_numpy(),
            "rollouts": np.append(starts[1:], len(ledger)),  # counted, as a selector may sample a group in parts
            "prompt": groups["prompt"].to_numpy(),
            "family": groups["prompt"].map(family).to_numpy(),
            "place": groups["prompt"].map(position).to_numpy(),
        }
    )


def _gradient(metrics: pd.DataFrame) -> pd.DataFrame:
    share = metrics["updated"].cumsum() / metrics["step"]
    first = min(int((metrics["rollouts"] < SMALLEST).sum()), len(metrics) - 1)
    kept = np.unique(np.geomspace(first + 1, len(metrics), POINTS).round().astype(int)) - 1
    return pd.DataFrame({"rollouts": metrics["rollouts"].iloc[kept], "share": share.iloc[kept]})


def draw(frame: pd.DataFrame) -> Figure:
    """Draw the first seed's choices as scatters above, the share of steps with a gradient and of families below."""
    methods = list(frame["method"].unique())
    rows = -(-len(methods) // COLUMNS)
    heights = (1.6 * rows, 2.6 + 0.17 * rows)
    figure = new_figure(PAGE, sum(heights))
    grid = figure.add_gridspec(2, 1, height_ratios=heights)
    above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    scatters = above.subplots(rows, COLUMNS, sharey=True, squeeze=False).ravel()
    _scatter_all(list(scatters), frame, methods)
    panels = below.subplots(1, 2)
    _draw_gradient(panels[0], frame[frame["panel"] == "gradient"])
    _draw_families(panels[1], frame[frame["panel"] == "family"])
    letter([*scatters[: len(methods)], *panels])
    legend_below(below, methods)
    return figure


def _scatter_all(panels: Sequence[Axes], frame: pd.DataFrame, methods: Sequence[str]) -> None:
    choices = frame[frame["panel"] == "choice"]
    spans = choices.groupby("family")["place"].agg(["min", "max"]).sort_values("min")
    named = spans[spans["max"] - spans["min"] >= NAMED * spans["max"].max()]
    for panel, method in zip(panels, methods, strict=False):
        rows = choices[choices["method"] == method]
        panel.scatter(rows["rollouts"], rows["place"], s=1.5, color=looks(methods)[method].colour, linewidths=0)
        panel.set_title(display_name(method), loc="left")
        panel.set_xlabel("training rollouts")
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.set_yticks(named.mean(axis=1).to_list(), named.index.to_list())
        panel.tick_params(axis="y", length=0)
        panel.grid(visible=False, axis="y")
        for edge in spans["min"].to_list()[1:]:
            panel.axhline(edge - 0.5, color=GREY, linewidth=0.4)
    panels[0].invert_yaxis()  # the y-axis is shared: this puts the most rewarded family on top in all panels
    for panel in panels[len(methods) :]:
        panel.set_visible(False)


def _draw_gradient(panel: Axes, frame: pd.DataFrame) -> None:
    styles = looks(list(frame["method"].unique()))
    for method, rows in frame.groupby("method", sort=False):
        style = styles[str(method)]
        runs = [run for _, run in rows.groupby("seed", sort=False)]
        for run in runs:
            panel.plot(run["rollouts"], run["share"], color=style.colour, alpha=0.3, linewidth=0.5)
        mean = np.mean([run["share"] for run in runs], axis=0)
        panel.plot(runs[0]["rollouts"], mean, zorder=3, markevery=10, **style.line)
    panel.set_title("steps with a gradient, so far", loc="left")
    panel.set_xlabel("training rollouts")
    panel.set_xscale("log")
    log_axis(panel.xaxis, each=(1,))
    panel.set_ylim(0, 1.03)
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _draw_families(panel: Axes, frame: pd.DataFrame) -> None:
    shares = frame.groupby(["method", "family"], sort=False)["share"].mean().unstack("family")
    left = np.zeros(len(shares))
    names = [display_name(str(method)) for method in shares.index]
    for i, family in enumerate(shares.columns):
        colour, hatch = PALETTE[1:][i % (len(PALETTE) - 1)], HATCHES[i % len(HATCHES)]
        panel.barh(names, shares[family], left=left, color=colour, hatch=hatch, edgecolor="white", label=family)
        left += shares[family].to_numpy()
    panel.set_title("rollouts by family", loc="left")
    panel.invert_yaxis()
    panel.grid(visible=False)
    panel.set_xlim(0, 1)
    panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.legend(loc="upper left", bbox_to_anchor=(1, 1), handlelength=1.2, handleheight=1.2)
