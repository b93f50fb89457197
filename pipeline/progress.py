"""How far a long computation is: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

SILENCE = 10.0  # seconds without a line, where there is no bar
Part = TypeVar("Part", bound=Sized)
SHOWN = ("train_accuracy", "train_loss", "val_accuracy", "val_loss")


class Progress:
    """One bar over all steps of all epochs, so that the time left is that of the run."""

    def __init__(self, epochs: int, steps: int) -> None:
        self.epochs, self.steps = epochs, steps
        self.console = Console()
        self.bar = Bar(
            TextColumn("epoch"),
            TextColumn("{task.fields[epoch]}/{task.fields[epochs]}"),
            *([BarColumn(bar_width=None)] if self.console.width >= 80 else []),  # the numbers come first
            TextColumn("accuracy {task.fields[accuracy]:.4f}  loss {task.fields[loss]:.4f}"),
            TextColumn("val {task.fields[val]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.finished = 0
        self.began = time.perf_counter()

    def __enter__(self) -> "Progress":
        self.bar.start()
        self.task = self.bar.add_task(
            "", total=self.epochs * self.steps, epoch=1, epochs=self.epochs, accuracy=0.0, loss=0.0, val="-"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def batch(self, done: int, loss: float, accuracy: float) -> None:
        """After a training step: how many of this epoch are done, and the epoch's mean loss and accuracy so far."""
        if not self.bar.disable:
            completed = self.finished * self.steps + done
            self.bar.update(self.task, completed=completed, epoch=self.finished + 1, loss=loss, accuracy=accuracy)

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """After an epoch, validation included."""
        self.finished = epoch
        if self.bar.disable:
            left = (time.perf_counter() - self.began) / epoch * (self.epochs - epoch)
            print(f"epoch {epoch}/{self.epochs}  {in_words(metrics)}  {left:.0f} s left", flush=True)
        else:
            self.bar.update(self.task, completed=epoch * self.steps, val=f"{metrics['val_accuracy']:.4f}")


def in_words(metrics: Mapping[str, float]) -> str:
    """The four of an epoch."""
    return "  ".join(f"{name.removeprefix('train_')} {metrics[name]:.4f}" for name in SHOWN)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """For what can't be asked how far it is: the seconds that it has taken."""
    console = Console()
    if not console.is_terminal:
        print(what, flush=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        bar.add_task(what, total=None)
        yield


def counted(parts: Iterable[Part], total: int, what: str) -> Iterator[Part]:
    """Hands on arrays of rows, or other parts, as they come, and says how many rows of the total there are."""
    console, began = Console(), time.monotonic()
    done, said = 0, began
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        for part in parts:
            done += len(part)
            bar.update(task, completed=done)
            now = time.monotonic()
            if bar.disable and now - said > SILENCE:
                said = now
                print(f"{what}: {done:,} of {total:,}  {(now - began) / done * (total - done):.0f} s left", flush=True)
            yield part
