"""Which code made a run: the commit, and what the working tree has on top of it."""

import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("conf", "pipeline", "sweeps", "pyproject.toml")  # what makes a run; data and notes beside them don't


def commit() -> str | None:
    """The commit of this project's checkout; None where it is not one, or git is missing."""
    return _git("rev-parse", "HEAD")


def uncommitted() -> str:
    """The diff of ROOMS against the commit, new files included, as `git apply` takes it; empty where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        index = str(Path(folder) / "index")  # a scratch index: the person's own staging stays as it is
        if _git("read-tree", "HEAD", index=index) is None or _git("add", "--all", "--", *ROOMS, index=index) is None:
            return ""
        diff = _git("diff", "--cached", "--binary", "HEAD", "--", *ROOMS, index=index)
    return f"{diff}\n" if diff else ""


def _git(*arguments: str, index: str | None = None) -> str | None:
    """What git prints, or None where it fails."""
    environment = {**os.environ, "GIT_INDEX_FILE": index} if index else None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.removesuffix("\n")
