"""Which code made a run: the commit, and what the working tree has on top of it."""

import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("conf", "pipeline", "sweeps", "pyproject.toml")  # what makes a run; data and notes beside them don't
DIFF = ("-c", "color.ui=false", "-c", "diff.noprefix=false", "diff", "--no-ext-diff", "--cached", "--binary")


def commit() -> str | None:
    """The commit of this project's checkout; None where it is not one, or git is missing."""
    found = _git("rev-parse", "HEAD")
    return None if found is None else found.decode().strip()


def uncommitted() -> bytes:
    """The diff of ROOMS against the commit, new files included, as `git apply` takes it; empty where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        index = str(Path(folder) / "index")  # a scratch index: the person's own staging stays as it is
        if _git("read-tree", "HEAD", index=index) is None:
            return b""
        for room in ROOMS:  # one by one: a room that is gone is no reason to leave out the others
            _git("add", "--all", "--", room, index=index)
        return _git(*DIFF, "HEAD", "--", *ROOMS, index=index) or b""


def _git(*arguments: str, index: str | None = None) -> bytes | None:
    """What git prints, or None where it fails."""
    environment = {**os.environ, "GIT_INDEX_FILE": index} if index else None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, env=environment, capture_output=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
