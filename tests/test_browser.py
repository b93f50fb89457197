"""The saved views in a real browser: what stands in the page of a store with a single run and a sweep."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="no selenium: pip install -e '.[test]'")

import interpreter
from browser import CHROMIUM, DRIVER, ROWS, chromium, served, wait_for
from conftest import TINY, FinishedRun, command, free_port
from selenium.webdriver import Chrome

from pipeline.tracking.addresses import pages

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with chromedriver is installed")

SWEEP = ("model=softmax_regression", *TINY, "figures=none", "executor=serial", "sampler=random", "sweep=custom")
SWEEP += ("sweep.name=tiny", "sweep.n_trials=3")
SPACE = ("batch_size=32,64", "optimizer.learning_rate=tag(log,interval(1e-3,1e-1))")
LOADED = "[...document.querySelectorAll('img')].filter(i => i.src.includes('{}') && i.naturalWidth > 100).length"


@pytest.fixture(scope="module")
def store(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with the finished run, and a sweep of three trials beside it."""
    folder = tmp_path_factory.mktemp("browser")
    shutil.copytree(finished_run.folder / "mlruns", folder / "mlruns")
    done = command(*SWEEP, *SPACE, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def address(store: Path) -> Iterator[str]:
    with served(store, "--port", str(free_port()), python=interpreter.own()) as addresses:
        yield addresses[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium(2600, 2600) as driver:  # what is out of sight, MLflow doesn't draw
        yield driver


def test_it_opens_on_the_leaderboard(browser: Chrome, address: str) -> None:
    browser.get(address)
    assert wait_for(browser, ROWS) == 4, "the sweep's own run is none of them"
    columns = "[...document.querySelectorAll('.ag-header-cell')].map(cell => cell.getAttribute('col-id'))"
    wait_for(browser, f"return {columns}.includes('tags.`state`')")
    metrics = ("best_val_accuracy", "test_accuracy", "weights", "train_seconds")
    params = ("model", "optimizer", "lr", "batch_size", "dropout", "regularizer", "epochs", "seed")
    wanted = {*(f"metrics.`{name}`" for name in metrics), *(f"params.`{name}`" for name in params)}
    assert wanted <= set(browser.execute_script(f"return {columns}"))
    best = column(browser, "metrics.`best_val_accuracy`")
    assert best == sorted(best, key=float, reverse=True)
    assert set(column(browser, "tags.`state`")) == {"complete"}
    assert sorted(column(browser, "tags.`sweep`")) == ["-", "tiny", "tiny", "tiny"]


def test_curves_kernels_and_confusion_matrices(browser: Chrome, address: str) -> None:
    browser.get(address.replace("leaderboard", "curves_and_kernels").replace("TABLE", "CHART"))
    # four runs, two metrics in each of two charts
    assert wait_for(browser, "return document.querySelectorAll('.scatterlayer path.js-line').length >= 16")
    assert wait_for(browser, f"return {LOADED.format('confusion_matrix')}") == 4
    assert wait_for(browser, f"return {LOADED.format('kernels~conv1')}") == 1
    assert wait_for(browser, f"return {LOADED.format('kernels~conv2')}") == 1
    assert sections(browser) == ["Learning curves", "Confusion matrices", "kernels"]


def test_a_sweep_by_its_name(browser: Chrome, address: str, store: Path) -> None:
    [(title, path)] = pages(str(store / "mlruns"), "tiny")
    assert title == "Sweep tiny"
    browser.get(f"{address.partition('#')[0]}#{path}")
    axes = "[...document.querySelectorAll('.parcoords .dimension .label')].map(label => label.textContent)"
    wait_for(browser, f"return {axes}.length == 3")
    assert set(browser.execute_script(f"return {axes}")) == {"batch_size", "log10 lr", "best_val_accuracy"}
    lines = "document.querySelector('.parcoords canvas.foreground')"
    wait_for(
        browser,
        f"const c = {lines}; return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)",
    )
    wait_for(browser, "return document.querySelectorAll('.scatterlayer path.point').length >= 6")
    titles = browser.execute_script("return [...document.querySelectorAll('.xtitle')].map(title => title.textContent)")
    assert {"batch_size", "log10 lr", "Step"} <= set(titles)
    assert sections(browser) == ["Objective by parameter", "Learning curves"]


def column(browser: Chrome, name: str) -> list[str]:
    """The texts of a column, from the top."""
    found = f"[...document.querySelectorAll('[role=gridcell][col-id=\"{name}\"]')]"
    return browser.execute_script(
        f"return {found}.sort((a, b) => a.closest('[role=row]').rowIndex - b.closest('[role=row]').rowIndex)"
        ".map(cell => cell.innerText.trim())"
    )


def sections(browser: Chrome) -> list[str]:
    """Their names, below each of which the number of its charts stands."""
    area = "document.querySelector('[data-testid=experiment-view-compare-runs-chart-area]')"
    return re.findall(r"^(.+)\n\(\d+\)$", browser.execute_script(f"return {area}.innerText"), re.MULTILINE)
