"""What a person sees while a sweep runs: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from optuna.study import Study
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps import report
from sweeps.contracts import Record, Summary
from sweeps.ending import STOPPED
from sweeps.loop import Active, Loop
from sweeps.plan import Plan
from sweeps.trial import Result

ENDED = ("complete", "pruned", "failed")
SHOWN = 12  # of the last finished trials
FINISHING = "finishing the running trials; Ctrl-C again stops now, and the same command resumes"
SHARE = 0.05  # of the driver's time that may go into counting what has ended


@contextmanager
def view(plan: Plan, study: Study) -> Iterator[Callable[[Loop], None]]:
    """Gives a function that is called when there may be something new."""
    console = Console(highlight=False, markup=False)
    done = sum(trial.state in ENDED for trial in report.summarize(study).trials)
    if done:
        console.print(f"{plan.name}: {done} trials are done; going on")
    if not console.is_terminal:
        yield _Lines().show
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield _Screen(plan, study, live).show


class _Lines:
    """A line for each trial that has ended, and for Ctrl-C."""

    def __init__(self) -> None:
        self.told, self.finishing = 0, False

    def show(self, loop: Loop) -> None:
        for each in loop.ended[self.told :]:
            found = _result(each.result, each.epoch)
            print(f"trial {each.number}  {found}  {report.said(each.params)}", flush=True)
        self.told = len(loop.ended)
        if loop.ending.reason == STOPPED and not self.finishing:
            self.finishing = True
            print(FINISHING, flush=True)


def _result(result: Result, epoch: int) -> str:
    if result.state == "failed":
        return f"failed, {result.cause}: {result.message}"
    found = " ".join(map(report.number, result.values)) if result.values else f"pruned after epoch {epoch}"
    return f"{found} ({result.message})" if result.message else found


def _outcome(record: Record) -> str:
    same = "" if record.reuses is None else f" (same as trial {record.reuses})"
    if record.values is not None:
        return " ".join(map(report.number, record.values)) + same
    if record.state == "pruned":
        return f"pruned after epoch {max(record.curve or {0: 0})}{same}"
    return f"failed, {record.cause or 'unknown'}"


class _Screen:
    """Running trials with their epoch, the last ones that ended, the best, counts, time left."""

    def __init__(self, plan: Plan, study: Study, live: Live) -> None:
        self.plan, self.study, self.live = plan, study, live
        self.ended, self.drawn, self.next_count = -1, 0.0, 0.0
        self._count()

    def show(self, loop: Loop) -> None:
        if time.monotonic() - self.drawn < 0.5:
            return
        if len(loop.ended) != self.ended and time.monotonic() >= self.next_count:
            self.ended = len(loop.ended)
            self._count()
        self.drawn = time.monotonic()
        self.live.update(Group(self._heading(loop), self._running(loop), self._ended()), refresh=True)

    def _count(self) -> None:
        """All trials, which takes longer the more there are; the running ones are drawn anew in the meantime."""
        began = time.monotonic()
        self.summary: Summary = report.summarize(self.study)
        self.places = report.standings(self.summary)
        self.next_count = time.monotonic() + (time.monotonic() - began) / SHARE

    def _heading(self, loop: Loop) -> Text:
        counts = {state: sum(each.state == state for each in self.summary.trials) for state in ENDED}
        done = sum(counts.values())
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none finished yet"
        left = _time_left(loop, done)
        text = Text(f"{self.plan.name}  {done}/{self.plan.settings.n_trials}: {said}{left}\n", style="bold")
        if self.places:
            text.append(f"best  {report.sentence(self.summary, self.places[0])}\n", style="green")
        if loop.ending.reason == STOPPED:
            text.append(f"{FINISHING}\n", style="yellow")
        elif loop.ending.reason is not None:
            text.append(f"{loop.ending.reason}: finishing the running trials\n", style="yellow")
        return text

    def _running(self, loop: Loop) -> Table:
        table = _table("running", "epoch", "accuracy", "time", "what is tried")
        for active in list(loop.active.values()):
            table.add_row(*_active(active))
        return table

    def _ended(self) -> Table:
        table = _table("trial", "result", "time", "what was tried")
        ended = [each for each in self.summary.trials if each.state in ENDED]
        for record in sorted(ended, key=lambda each: each.number, reverse=True)[:SHOWN]:
            style = {"complete": "", "pruned": "dim", "failed": "red"}[record.state]
            seconds = "" if record.seconds is None else f"{record.seconds:.0f} s"
            table.add_row(str(record.number), _outcome(record), seconds, report.said(record.params), style=style)
        return table


def _table(*columns: str) -> Table:
    """Every row one line, cut at the terminal's edge."""
    table = Table(box=None, header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    return table


def _active(active: Active) -> list[str]:
    accuracy = active.metrics.get("val_accuracy")
    epochs = active.cfg.get("epochs")
    return [
        str(active.trial.number),
        f"{active.epoch}/{epochs}" if epochs else str(active.epoch),
        "" if accuracy is None else f"{accuracy:.4f}",
        f"{time.monotonic() - active.began:.0f} s",
        report.said(active.params),
    ]


def _time_left(loop: Loop, done: int) -> str:
    """From the trials of this command so far."""
    if not loop.ended:
        return ""
    seconds = (time.monotonic() - loop.ending.began) / len(loop.ended) * max(loop.plan.settings.n_trials - done, 0)
    return f"; about {span(seconds)} left"


def span(seconds: float) -> str:
    """For a person: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
