"""Chromium without a window, driven by selenium. `install.sh` beside this file installs it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import leave_out
from selenium import webdriver

# In a container as root there is no sandbox; what Chromium would tell its makers, or fetch from them, it shall not.
OPTIONS = """
    --headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --mute-audio
"""


@contextmanager
def run_chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """With its profile in a new folder."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        leave_out("chromium is missing: run tests/servers/install.sh")
    options = webdriver.ChromeOptions()
    for option in [*OPTIONS.split(), f"--user-data-dir={folder}"]:
        options.add_argument(option)
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield started
    finally:
        started.quit()
