"""Observers for runs under test: after an epoch, a signal to an MLflow server's process, or to the run's own."""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress


def observer(name: str, server: int | None, at: int) -> Callable[[int, Mapping[str, float]], None]:
    """server: the process that serves; None for the one that trains."""

    def after(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == at and server is None:
            os.kill(os.getpid(), signal.Signals[name])
        elif epoch == at:
            with suppress(ProcessLookupError):  # an earlier trial's
                os.kill(server, signal.Signals[name])

    return after
