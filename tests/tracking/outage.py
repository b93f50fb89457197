"""An observer for runs under test: after an epoch, it does to the MLflow server what the test asks for."""

import os
import signal
from collections.abc import Callable, Mapping


def send(signal_name: str, server: int, at: int) -> Callable[[int, Mapping[str, float]], None]:
    """To all of the server's processes."""

    def observer(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == at:
            os.killpg(server, signal.Signals[signal_name])

    return observer
