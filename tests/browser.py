"""Headless Chromium before MLflow's UI, for the tests; as a script, the pictures that README shows of the views.

Command: python tests/browser.py mlruns docs/figures <sweep> ...     (a store, a folder for pictures, sweeps by name)
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
PATIENCE = 120  # seconds; a machine may have other work
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
ARGUMENTS += ("--disable-background-networking", "--disable-component-update", "--disable-sync")
# what a person closes once: MLflow's assistant, which would cover a quarter of the page
NO_ASSISTANT = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""
ROWS = "return document.querySelectorAll('.ag-center-cols-container [role=row]').length"


@contextmanager
def chromium(width: int, height: int) -> Iterator[webdriver.Chrome]:
    """Raises selenium's WebDriverException where it cannot be started."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--window-size={width},{height}"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_ASSISTANT})
        yield driver
    finally:
        driver.quit()


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[list[str]]:
    """`python -m pipeline.ui` in a folder; the addresses that it prints."""
    command = [sys.executable, "-m", "pipeline.ui", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            said = []
            for line in server.stdout:
                said.append(line)
                if line.startswith("Ctrl-C"):
                    break
            addresses = re.findall(r"http://\S+", "".join(said))
            assert addresses, "".join(said)
            yield addresses
        finally:
            server.terminate()


def wait_for(driver: webdriver.Chrome, script: str) -> Any:
    """What a script returns, as soon as that is true. Raises AssertionError where it never is."""
    try:
        return WebDriverWait(driver, PATIENCE, poll_frequency=0.2).until(lambda there: there.execute_script(script))
    except TimeoutException:
        raise AssertionError(f"after {PATIENCE} s still nothing of: {script}") from None
