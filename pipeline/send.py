"""Runs that a server was too long away for, sent now: `python -m pipeline.send`."""

import argparse
import sys
from pathlib import Path

from pipeline.errors import one_line_errors


def main() -> None:
    """Exit code 0 where nothing is left, 1 where a server doesn't answer or refuses a run."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.send",
        description="Send the runs that wait below a store's folder to the MLflow server that they were meant for.",
    )
    parser.add_argument("--store", default="mlruns", help="the runs' tracking.store (default: %(default)s)")
    parser.add_argument("--uri", help="address of the server, where that is another by now")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for it (default: %(default)g)")
    chosen = parser.parse_args()
    with one_line_errors():
        sys.exit(not send(Path(chosen.store), chosen.uri, chosen.patience))


def send(store: Path, uri: str | None, patience: float) -> bool:
    """Is everything sent? What the server refuses, or is away for, is said and stays."""
    from pipeline.tracking import outbox

    found = 0
    unsent = False
    for each, error in outbox.deliver_left(store, patience, uri=uri):
        found += 1
        unsent |= error is not None
        print(f"error: {error}" if error else f"sent: {each.address}", file=sys.stderr if error else None, flush=True)
    if not found:
        print(f"{store / outbox.UNSENT}: no run waits here")
    return not unsent


if __name__ == "__main__":
    main()
