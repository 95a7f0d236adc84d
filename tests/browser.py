"""A headless Chromium without a network, and Snakemake's HTML report as its reader clicks through it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "" if CHROMIUM and DRIVER else "no Chromium here; apt-get install chromium chromium-driver"
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # which root cannot have
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no name leads anywhere
)
MOVING = (ElementClickInterceptedException, StaleElementReferenceException, LookupError)  # until a page is at rest
SAID = r"(?P<path>results/\S+).*\nDESCRIPTION\n(?P<caption>.*)\nSIZE\n"
CONTENT = "#app .grow.overflow-auto"  # beside the navigation
# Whether what the reader asked for is there: an image with pixels, or a page in a frame.
DRAWN = """
const shown = document.querySelector(arguments[0] + ' > div > img, ' + arguments[0] + ' > iframe');
return shown !== null && (shown.tagName === 'IFRAME' || shown.complete && shown.naturalWidth > 0) ? shown : null;
"""


@contextmanager
def chromium(width: int, height: int) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for option in (*OPTIONS, f"--window-size={width},{height}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


@dataclass(frozen=True)
class Result:
    """A figure or table as it was found. top: of the image in the window, in pixels; rows: of the table."""

    category: str
    path: str
    caption: str
    kind: str
    top: float
    rows: int


class Report:
    """A report that is open in a browser."""

    def __init__(self, driver: webdriver.Chrome, page: Path) -> None:
        self.driver, self.wait = driver, WebDriverWait(driver, 30, ignored_exceptions=MOVING)
        driver.get(page.as_uri())
        self.wait.until(lambda _: self.links())

    def links(self) -> dict[str, WebElement]:
        """Visible links of the navigation that have a text."""
        found = self.driver.find_elements(By.CSS_SELECTOR, "#app a")
        return {link.text: link for link in found if link.is_displayed() and link.text}

    def press(self, find: Callable[[], WebElement]) -> None:
        """Click what `find` finds, as soon as it is there and nothing that still moves lies over it."""
        self.wait.until(lambda _: find().click() is None)

    def click(self, name: str) -> None:
        """Click a link of the navigation, by its text."""
        self.press(lambda: self.links()[name])

    def categories(self) -> list[str]:
        """The categories of results, which are numbered."""
        return [name for name in self.links() if name[0].isdigit()]

    def drawings(self) -> int:
        """Charts in the content: Vega draws each on a canvas or as SVG."""
        self.wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, f"{CONTENT} canvas, {CONTENT} svg.marks"))
        return len(self.driver.find_elements(By.CSS_SELECTOR, f"{CONTENT} canvas, {CONTENT} svg.marks"))

    def text(self) -> str:
        """What the content says."""
        return self.driver.find_element(By.CSS_SELECTOR, CONTENT).text

    def results(self, category: str) -> Iterator[Result]:
        """Open each result of a category, and what is said of it."""
        self.click(category)
        self.wait.until(lambda _: self.rows())
        for place in range(len(self.rows())):
            self.press(lambda place=place: self.rows()[place][0])
            shown = self.wait.until(lambda d: d.execute_script(DRAWN, CONTENT))
            kind, top, rows = shown.tag_name, float(shown.rect["y"]), self._table_rows(shown)
            self.press(lambda place=place: self.rows()[place][1])
            said = self.wait.until(lambda d: re.search(SAID, d.find_element(By.ID, "app").text, re.DOTALL))
            yield Result(category, said["path"], said["caption"].strip(), kind, top, rows)
            self.click(category)
            self.wait.until(lambda _: self.rows())
        self.click("Results")

    def rows(self) -> list[list[WebElement]]:
        """The two buttons of each result of the open category: to see it, and to read of it."""
        found = self.driver.find_elements(By.CSS_SELECTOR, "#app tbody tr")
        return [row.find_elements(By.TAG_NAME, "a") for row in found]

    def _table_rows(self, shown: WebElement) -> int:
        if shown.tag_name != "iframe":
            return 0
        self.driver.switch_to.frame(shown)
        rows = self.wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, "table tr"))
        self.driver.switch_to.default_content()
        return len(rows)

    def complaints(self) -> list[str]:
        """Errors on the console."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def requests(self) -> set[str]:
        """Beginnings of all addresses asked for, but for data that is in the page itself."""
        events = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        asked = (
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        )
        return {url[:200] for url in asked if not url.startswith(("data:", "blob:"))}
