"""Why a sweep ends before its budget is used up: a target, hours, Ctrl-C and other signals."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.errors import SIGNALS

STOPPED = "Ctrl-C"


@dataclass
class Ending:
    """reason: why no further trial starts. signum: that says to stop now. lock: held while the study is written."""

    lock: threading.Lock
    max_hours: float | None
    began: float = field(default_factory=time.monotonic)
    reason: str | None = None
    signum: int | None = None
    submitting: bool = False  # executor=serial trains meanwhile

    @property
    def is_near(self) -> bool:
        return self.reason is not None or self.signum is not None

    def because(self, reason: str) -> None:
        """Start no further trial. The first reason counts."""
        self.reason = self.reason or reason

    def look(self) -> None:
        """Whether there is a reason by now. Raises SystemExit where a signal says to stop now."""
        if self.signum is not None:
            raise SystemExit(128 + self.signum)
        if self.max_hours is not None and time.monotonic() - self.began > self.max_hours * 3600:
            self.because(f"max_hours={self.max_hours:g} are over")

    @contextmanager
    def signals(self) -> Iterator[None]:
        """The first Ctrl-C lets the running trials finish; the second, and any other signal, stops now."""

        def interrupted(signum: int, frame: object) -> None:
            if signum == signal.SIGINT and self.reason != STOPPED:
                self.reason = STOPPED
                return
            for each in SIGNALS:
                signal.signal(each, signal.SIG_IGN)
            self.signum = signum
            if self.submitting and not self.lock.locked():  # executor=serial trains there; else the loop looks soon
                raise SystemExit(128 + signum)

        kept = {each: signal.getsignal(each) for each in SIGNALS}
        if threading.current_thread() is threading.main_thread():
            for each, handler in kept.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(each, interrupted)
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                for each, handler in kept.items():
                    signal.signal(each, handler)
