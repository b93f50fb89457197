"""What the commands that look at stored runs share: where the runs are, and where their data lies now."""

import argparse
from collections.abc import Sequence
from shlex import quote

from pipeline.config import PATHS
from pipeline.errors import PipelineError


def add_options(parser: argparse.ArgumentParser) -> None:
    """--store and --uri."""
    parser.add_argument("--store", default="mlruns", help="folder of the tracking store (default: %(default)s)")
    parser.add_argument("--uri", help="address of an MLflow server, in place of the store")


def as_options(store: str, uri: str | None) -> str:
    """The same in a command for the person, to be put behind it; empty for the usual store."""
    if uri is not None:
        return f" --uri {quote(uri)}"
    return f" --store {quote(store)}" if store != "mlruns" else ""


def given(words: Sequence[str], *others: str) -> dict[str, str]:
    """key=value words that change no result: where the data lies now, and other groups or keys.

    Raises PipelineError for any more.
    """
    keys = [*others, *(f"dataset.{key}" for key in PATHS)]
    for word in words:
        key, equals, _ = word.partition("=")
        if not equals or not any(f"{key}.".startswith(f"{each}.") for each in keys):
            can_be = ", ".join(f"{each}=..." for each in keys)
            raise PipelineError(f"{word}: the run is what it is; what can be given is {can_be}")
    return dict(word.split("=", 1) for word in words)
