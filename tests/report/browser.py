"""A real headless Chromium that opens a report."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MISSING = "no chromium and chromedriver here, and tests/report/install_chromium.sh could not install them"


def installed() -> bool:
    """Whether Debian's packages chromium and chromium-driver are there."""
    return all(shutil.which(name) for name in ("chromium", "chromedriver"))


@contextmanager
def opened(page: Path, dark: bool = False) -> Iterator[Any]:
    """The page in a browser of its own, which is closed afterwards; selenium's WebDriver."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1250,1000"):
        options.add_argument(argument)
    if dark:
        options.add_argument("--force-dark-mode")
        options.add_argument("--blink-settings=preferredColorScheme=0")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(shutil.which("chromedriver"))))
    try:
        driver.get(page.as_uri())
        yield driver
    finally:
        driver.quit()
