"""The HTML report in a browser without a network: every section opened, every figure and table drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import browser
from browser import Report, Result, chromium
from project import ROOT, SMOKE, Project

pytestmark = [pytest.mark.slow, pytest.mark.pipeline, pytest.mark.skipif(bool(browser.MISSING), reason=browser.MISSING)]

CATEGORIES = [
    "0. Main result",
    "1. Accuracy against cost",
    "2. Training and selection",
    "3. Historical variance",
    "4. Sample complexity",
    "5. What papers print",
]


@pytest.fixture(scope="module")
def page(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report, in a folder of its own: it stands on no other file."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    code, output = finished.snakemake(*SMOKE, "--report", str(path))
    assert code == 0, output
    return path


@pytest.fixture(scope="module")
def report(page: Path) -> Iterator[Report]:
    with chromium(1400, 1000) as driver:
        yield Report(driver, page)


@pytest.fixture(scope="module")
def results(report: Report) -> list[Result]:
    """Every result of every category, each clicked."""
    return [result for category in CATEGORIES for result in report.results(category)]


def test_the_report_opens_on_what_the_experiment_is_and_lists_its_categories(report):
    assert "What this experiment cannot show" in report.text()
    assert report.categories() == CATEGORIES


def test_workflow_statistics_and_about_are_drawn(report):
    report.click("Workflow")
    assert report.drawings() == 1
    report.click("Statistics")
    report.wait.until(lambda _: report.drawings() == 2)
    report.click("About")
    report.wait.until(lambda _: any(name.startswith("snakemake") for name in report.links()))
    report.driver.refresh()


def test_every_figure_of_the_experiment_is_drawn(results, finished):
    drawn = {result.path for result in results if result.kind == "img"}
    figures = (finished.folder / "results/figures").rglob("*.png")
    assert drawn == {str(path.relative_to(finished.folder)) for path in figures}
    assert all(result.path.endswith(".png") for result in results if result.kind == "img")


def test_every_table_is_there_with_its_rows(results, finished):
    tables = {Path(result.path).stem: result.rows for result in results if result.kind == "iframe"}
    assert set(tables) == {path.stem for path in (finished.folder / "results/tables").glob("*.html")}
    assert min(tables.values()) > 2


def caption_of(result: Path) -> str:
    """The name of its caption."""
    if result.parent.name == "published" and result.stem != "record":
        return "published"
    names = {"published": "published_table", "claims_seconds": "claims"}
    return names.get(result.stem, re.sub("_easy$", "", result.stem))


def test_every_result_has_its_caption(results):
    captions = {path.stem: path.read_text() for path in (ROOT / "workflow/report").glob("*.rst")}
    for result in results:
        first = captions[caption_of(Path(result.path))].replace("`", "").split(". ")[0].split("(")[0]
        assert " ".join(first.split())[:60] in " ".join(result.caption.split())


def test_what_is_taller_than_the_window_can_be_scrolled_to_its_top(page):
    with chromium(1400, 500) as driver:
        report = Report(driver, page)
        tops = {result.path: result.top for result in report.results("4. Sample complexity")}
        height = driver.execute_script("return window.innerHeight")
    assert height < 500
    assert all(top >= 0 for top in tops.values()), tops


def test_nothing_went_wrong_and_nothing_was_fetched(report, results, page):
    assert report.complaints() == []
    assert report.requests() == {page.as_uri()}
