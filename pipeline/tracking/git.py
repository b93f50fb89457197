"""Which code made a run: the commit, and what the working tree has on top of it; and that code, brought back."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PipelineError

ROOT = Path(__file__).parents[2]
ROOMS = ("conf", "pipeline", "sweeps", "pyproject.toml")  # what makes a run; data and notes beside them don't
UNCOMMITTED = "uncommitted.diff"  # what a run keeps it under
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


@contextmanager
def worktree(commit: str, diff: bytes) -> Iterator[Path]:
    """The project as it was at a commit with a diff on top: a temporary worktree, gone when the block is left.

    Raises PipelineError where the checkout lacks the commit, or the diff does not apply to it.
    """
    if _git("cat-file", "-e", f"{commit}^{{commit}}") is None:
        raise PipelineError(f"commit {commit}: is not in {ROOT}; fetch it, or --here trains with the present code")
    with tempfile.TemporaryDirectory(prefix="sweepline-") as folder:
        top = Path(folder) / "worktree"
        try:
            if _git("-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--detach", str(top), commit) is None:
                raise PipelineError(f"commit {commit}: git cannot check it out below {folder}; is there room?")
            if diff and _git("apply", "--whitespace=nowarn", cwd=top, given=diff) is None:
                raise PipelineError(f"{UNCOMMITTED}: does not apply to commit {commit}; has it been changed?")
            yield top / (_git("rev-parse", "--show-prefix") or b"").decode().strip()
        finally:
            _git("worktree", "remove", "--force", "--force", str(top))


def _git(
    *arguments: str, index: str | None = None, cwd: Path | None = None, given: bytes | None = None
) -> bytes | None:
    """What git prints, or None where it fails."""
    environment = {**os.environ, "GIT_INDEX_FILE": index} if index else None
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or ROOT,
            env=environment,
            input=given,
            capture_output=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
