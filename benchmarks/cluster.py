"""What a driver can carry: trials that only sleep, in 1 to 64 slots, on SQLite and PostgreSQL, here and over Dask.

Command: python benchmarks/cluster.py            # --slots 1 2 4 for fewer; needs the extra `cluster` and PostgreSQL
Cost:    about ten minutes on two cores, 5 GB of memory at 64 slots
Writes the section `cluster` of docs/BENCHMARKS.md, and its plot beside that.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from document import PAGE, machine, table, write_section
from matplotlib.figure import Figure

from pipeline.figures.style import FAINT, INK, TRAINING, VALIDATION, blank

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from postgresql import PASSWORD, VARIABLE, Server, running

APP = """
import json, os, time
from pathlib import Path
import hydra
from hydra.utils import instantiate

@hydra.main(version_base="1.3", config_path=".", config_name="config")
def sleeps(cfg) -> float:
    (observer,) = (instantiate(node) for node in cfg.observers)
    took = []
    for epoch in range(1, cfg.epochs + 1):
        time.sleep(cfg.seconds)
        began = time.perf_counter()
        observer(epoch, {"loss": cfg.x})
        took.append(time.perf_counter() - began)
    with Path("trials.jsonl").open("a") as file:
        file.write(json.dumps({"at": time.time(), "process": os.getpid(), "reports": took}) + "\\n")
    return cfg.x

if __name__ == "__main__":
    sleeps()
"""
CONFIG = """
defaults:
  - _self_
  - override hydra/sweeper: optuna
  - override hydra/sweeper/sampler: random
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
x: 0
epochs: 5
seconds: 0.1
observers: []
hydra:
  sweep: {dir: out}
  sweeper:
    storage: sqlite:///studies.db
    study_name: sleeps
    n_trials: 100000
    pruning_metric: loss
    sampler: {seed: 0}
    params: {x: "interval(0,1)"}
    executor: {name: local, slots: 1, trials_per_worker: 100000, address: null}
"""
EPOCHS, SECONDS = 5, 0.1
WINDOW = 12.0  # seconds of measuring, once every slot has had a trial
FEW = 4  # slots that wait for nothing: there the cost of a trial is told from that of a report
PATIENCE = 180.0  # until then
BENT = 0.8  # of what a slot does among the fewest; below that the curve has bent
BUSY = 0.7  # of a core: what one can be asked for without a queue that grows
SETTINGS = (("SQLite", "local"), ("SQLite", "dask"), ("PostgreSQL", "local"))


@dataclass(frozen=True)
class Found:
    """In one window. CPU in milliseconds for each trial."""

    slots: int
    rate: float  # trials/s
    driver: float
    store: float  # PostgreSQL's processes
    scheduler: float  # Dask's
    median: float  # of an epoch's report, ms
    p99: float
    reports: int
    machine: float  # share of all cores that was busy

    @property
    def core(self) -> float:
        """Share of one core that the driver took."""
        return self.rate * self.driver / 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    given = parser.parse_args()
    curves: dict[str, list[Found]] = {}
    costs: dict[str, tuple[float, float]] = {}
    with running(durable=True) as server:
        for store, executor in SETTINGS:
            name = f"{store}, executor={executor}"
            curves[name] = [measure(server, store, executor, slots) for slots in given.slots]
            short, long = (measure(server, store, executor, FEW, epochs=epochs) for epochs in (1, 9))
            report = (long.driver - short.driver) / 8
            costs[name] = (short.driver - report, report)
    draw(curves).savefig(PAGE.parent / "figures" / "cluster.png")
    words = "" if given.slots == parser.get_default("slots") else f" --slots {' '.join(map(str, given.slots))}"
    write_section("cluster", section(words, curves, costs))


# --- one measurement


def measure(server: Server, store: str, executor: str, slots: int, *, epochs: int = EPOCHS) -> Found:
    with tempfile.TemporaryDirectory() as name, ended(started := []):
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        (folder / "config.yaml").write_text(CONFIG)
        words = [f"hydra.sweeper.executor.slots={slots}", f"epochs={epochs}", f"seconds={SECONDS}"]
        if store == "PostgreSQL":
            words += [f"hydra.sweeper.storage='{server.url()}'", f"hydra.sweeper.study_name={folder.name}"]
        scheduler = None
        if executor == "dask":
            address = "tcp://127.0.0.1:8786"
            asked = ("--nthreads", str(slots), "--memory-limit", "0", "--no-nanny")
            scheduler = dask("scheduler", folder, "--host", "127.0.0.1")
            started += [scheduler, dask("worker", folder, address, *asked)]
            words += ["hydra.sweeper.executor.name=dask", f"hydra.sweeper.executor.address={address}"]
        with (folder / "driver.log").open("w") as log:
            driver = subprocess.Popen(
                [sys.executable, "app.py", "-m", *words],
                cwd=folder,
                env={**os.environ, VARIABLE: PASSWORD},
                stdout=log,
                stderr=log,
            )
        started.insert(0, driver)
        wait_for_all(folder, slots, driver)
        postmaster = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
        others = (postmaster if store == "PostgreSQL" else None, scheduler and scheduler.pid)
        found = watched(folder, slots, (driver.pid, *others))
    print(f"{store}, {executor}, {epochs} epochs: {found}", file=sys.stderr)
    return found


def dask(kind: str, folder: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *words]
    with (folder / f"{kind}.log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


@contextmanager
def ended(started: Sequence[subprocess.Popen]) -> Iterator[None]:
    """Kills them with all that they started, and waits until none is left."""
    try:
        yield
    finally:
        found = [psutil.Process(process.pid) for process in started if process.poll() is None]
        every = [each for process in found for each in (*process.children(recursive=True), process)]
        for each in every:
            with suppress(psutil.NoSuchProcess):  # it ended with its parent
                each.kill()
        psutil.wait_procs(every, 30)


def trials(folder: Path) -> list[dict[str, Any]]:
    file = folder / "trials.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def wait_for_all(folder: Path, slots: int, driver: subprocess.Popen) -> None:
    """Until each slot's process has ended a trial."""
    deadline = time.monotonic() + PATIENCE
    while len({trial["process"] for trial in trials(folder)}) < slots:
        if driver.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{slots} slots did not come to work: {(folder / 'driver.log').read_text()[-2000:]}")
        time.sleep(0.2)


def watched(folder: Path, slots: int, processes: tuple[int, int | None, int | None]) -> Found:
    """processes: the driver, PostgreSQL's first, Dask's scheduler."""
    psutil.cpu_percent()
    began, before = time.time(), list(map(seconds, processes))
    time.sleep(WINDOW)
    over, after = time.time(), list(map(seconds, processes))
    busy = psutil.cpu_percent() / 100
    seen = [trial for trial in trials(folder) if began < trial["at"] <= over]
    cpu = [1000 * (late - early) / len(seen) for early, late in zip(before, after, strict=True)]
    reports = [1000 * took for trial in seen for took in trial["reports"]]
    p99 = statistics.quantiles(reports, n=100, method="inclusive")[98]
    return Found(slots, len(seen) / (over - began), *cpu, statistics.median(reports), p99, len(reports), busy)


def seconds(process: int | None) -> float:
    """Of CPU, so far; the slots' processes, children of the driver, have sessions of their own and don't count."""
    if process is None:
        return 0.0
    found = psutil.Process(process)
    of_postgresql = found.children() if found.name() == "postgres" else []
    return sum(each.cpu_times().user + each.cpu_times().system for each in (found, *of_postgresql))


# --- the page


def section(words: str, curves: Mapping[str, list[Found]], costs: Mapping[str, tuple[float, float]]) -> str:
    header = ("", "slots", "trials/s", "a slot's share", "driver, ms a trial", "driver, of a core", "PostgreSQL, ms")
    header += ("scheduler, ms", "report: median, ms", "p99, ms", "of so many", "machine busy")
    header_on_paper = ("", "trial, ms", "report, ms", "s at least, E = 10", "E = 50", "drivers for s = 1, E = 10")
    rows = [row(name, found, curve[0]) for name, curve in curves.items() for found in curve]
    return f"""## Many slots

`python benchmarks/cluster.py{words}`

Trials of {EPOCHS} epochs that only sleep, {SECONDS} s each, in processes of their own: what is left is what a sweep
costs. For {WINDOW:g} s, once every slot has had a trial: trials/s ({1 / (EPOCHS * SECONDS):g} a slot, if nothing
cost anything), and what a slot does of what it does in the first row; CPU milliseconds for each trial in the driver, in
PostgreSQL's processes and in Dask's scheduler; what an epoch's report takes, there and back, with the commit in the
study. Everything is on one machine, the slots' processes too.

{table(header, rows)}

![trials per second, the driver's cost and the reports' p99 by the number of slots](figures/cluster.png)

**Where it bends.** {" ".join(bend(name, curve) for name, curve in curves.items())}

**1,000 slots, on paper.** A trial costs its driver a part of its own and a part for each epoch's report (told apart by
trials of 1 and of 9 epochs in {FEW} slots). 1,000 slots with trainings of E epochs of s seconds each end 1,000 / (E s)
trials a second, and one driver has one core's worth of Python, of which {BUSY:.0%} can be asked for:
1,000 (trial + E report) / (E s) ≤ {BUSY:g}.

{table(header_on_paper, paper(costs))}

Several drivers (`sweep.shared=true`) share that work, with slots of their own; what they cannot share is the claim,
which one does at a time, and the PostgreSQL server. Dask's scheduler is a process beside the driver, and
{scheduler(curves)}.

{machine()}."""


def row(name: str, found: Found, first: Found) -> tuple[str, ...]:
    others = (f"{cost:.1f}" if cost else "" for cost in (found.store, found.scheduler))
    cpu = (f"{found.driver:.1f}", f"{found.core:.0%}", *others)
    report = (f"{found.median:.1f}", f"{found.p99:.0f}", f"{found.reports:,}")
    return (
        name,
        str(found.slots),
        f"{found.rate:.1f}",
        f"{share(found, first):.0%}",
        *cpu,
        *report,
        f"{found.machine:.0%}",
    )


def share(found: Found, first: Found) -> float:
    """Of what a slot does among the fewest: below that, slots wait for each other."""
    return found.rate / found.slots / (first.rate / first.slots)


def bend(name: str, curve: Sequence[Found]) -> str:
    """In words: between which numbers of slots, and what had no more to give there."""
    bent = next((number for number, found in enumerate(curve) if share(found, curve[0]) < BENT), None)
    if bent is None:
        return f"{name}: not up to {curve[-1].slots} slots."
    found = curve[bent]
    place = f"from {curve[bent - 1].slots} to {found.slots}" if bent else f"at {found.slots}"
    if found.core > 0.85:
        why = f"the driver's Python has a core and takes {found.core:.0%} of it"
    elif found.machine > 0.9:
        why = f"the machine's cores are {found.machine:.0%} busy, the driver with {found.core:.0%} of one"
    else:
        why = f"reports and claims queue for the study's commits, one at a time (driver {found.core:.0%} of a core)"
    return f"{name}: {place} slots, where {why}; the most was {most(curve):.0f} trials/s."


def scheduler(curves: Mapping[str, list[Found]]) -> str:
    last = next(curve[-1] for name, curve in curves.items() if "dask" in name)
    which = "the driver bends first" if last.scheduler < last.driver else "it bends before the driver"
    return f"takes {last.scheduler:.1f} ms for a trial where the driver takes {last.driver:.1f}: {which}"


def most(curve: Sequence[Found]) -> float:
    return max(found.rate for found in curve)


def paper(costs: Mapping[str, tuple[float, float]]) -> list[tuple[str, ...]]:
    def epoch(trial: float, report: float, epochs: int) -> float:
        return (trial + epochs * report) / epochs / BUSY  # 1,000 slots and milliseconds: seconds

    return [
        (
            name,
            f"{trial:.1f}",
            f"{report:.1f}",
            *(f"{epoch(trial, report, epochs):.1f}" for epochs in (10, 50)),
            f"{-(-epoch(trial, report, 10) // 1):.0f}",
        )
        for name, (trial, report) in costs.items()
    ]


def draw(curves: Mapping[str, list[Found]]) -> Figure:
    figure = blank(11, 3.8, "What a driver carries", f"trials of {EPOCHS} epochs that sleep {SECONDS} s each")
    left, middle, right = figure.subplots(1, 3)
    styles = itertools.product((TRAINING, VALIDATION), ("-", ":"))
    for (name, curve), (color, line) in zip(curves.items(), styles, strict=False):
        slots = [found.slots for found in curve]
        style = {"color": color, "linestyle": line, "marker": "o", "ms": 4}
        left.plot(slots, [found.rate for found in curve], label=name, **style)
        middle.plot(slots, [found.driver for found in curve], **style)
        right.plot(slots, [found.p99 for found in curve], **style)
    left.plot(slots, [count / (EPOCHS * SECONDS) for count in slots], color=FAINT, linewidth=0.8, label="no waiting")
    left.set(xscale="log", yscale="log", ylabel="trials per second")
    middle.set(xscale="log", ylim=(0, None), ylabel="driver's CPU for a trial, ms")
    right.set(xscale="log", yscale="log", ylabel="p99 of an epoch's report, ms")
    for axes in (left, middle, right):
        axes.set_xticks(slots, map(str, slots))
        axes.minorticks_off()
        axes.set_xlabel("slots")
        axes.grid(color=FAINT, alpha=0.25, linewidth=0.5)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.tick_params(colors=INK, labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
