"""Headless Chromium before MLflow's UI, for the tests; as a script, the pictures that README shows of the views.

Command: python tests/browser.py mlruns docs/figures <sweep> ...     (a store, a folder for pictures, sweeps by name)
"""

import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
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

DRAWN = "return document.querySelectorAll('.scatterlayer path.point, .scatterlayer path.js-line').length > 4"
SETTLED = 4  # seconds for the images and the last curves of a picture
# what a person sees only where the mouse is
TIDY = "for (const bar of document.querySelectorAll('.modebar')) bar.style.display = 'none'"


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
def served(folder: Path, *arguments: str, python: str = sys.executable) -> Iterator[list[str]]:
    """`python -m pipeline.ui` in a folder; the addresses that it prints."""
    command = [python, "-m", "pipeline.ui", *arguments]
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


def main(store: Path, output: Path, sweeps: list[str]) -> None:
    """A picture of each view: the leaderboard, curves and kernels, and those of the sweeps."""
    from conftest import free_port

    from pipeline.tracking.addresses import pages

    found = [page for word in (None, *sweeps) for page in pages(str(store), word)]
    with served(store.parent, "--port", str(free_port()), "--store", store.name) as addresses:
        for title, path in found:
            with chromium(1500, 1600 if title == "Curves & kernels" else 1040) as driver:
                driver.get(f"{addresses[0].partition('#')[0]}#{path}")
                wait_for(driver, ROWS if "TABLE" in path else DRAWN)
                time.sleep(SETTLED)
                driver.execute_script(TIDY)
                name = re.sub(r"\W+", "_", title.lower())
                picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
                picture.quantize(256, dither=Image.Dither.NONE).save(output / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]), sys.argv[3:])
