"""`python -m module ...` and `python app.py ...` in processes that wait neither for imports nor for an empty store.

They are forked from one that has the imports, and a store that they create is a copy.
"""

import atexit
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from multiprocessing import forkserver, get_context
from pathlib import Path
from unittest.mock import patch

from pipeline.device import quiet_start
from pipeline.tracking import store

_context = get_context("forkserver")
_context.set_forkserver_preload(["preloaded"])


def run(program: str, *arguments: str, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess:
    """As subprocess.run gives it; program is a module or a file. Raises subprocess.TimeoutExpired."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        # of the process with the imports; this one's own output goes to its files
        with quiet_start(), patch.dict(os.environ, PYTHONPATH=str(Path(__file__).parent)):
            forkserver.ensure_running()
        given = (program, arguments, cwd, dict(os.environ), out, err, _empty_store())
        process = _context.Process(target=_main, args=given)
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired((program, *arguments), timeout, out.read_text(), err.read_text())
        return subprocess.CompletedProcess((program, *arguments), process.exitcode, out.read_text(), err.read_text())


@cache
def _empty_store() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    store._create_database(folder)
    return folder / store.DATABASE


def _main(
    program: str, arguments: tuple[str, ...], cwd: Path, environment: dict[str, str], out: Path, err: Path, empty: Path
) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    sys.argv = [program, *arguments]
    store._migrate = lambda file: shutil.copy(empty, file)
    try:
        if program.endswith(".py"):
            sys.path.insert(0, str(cwd))
            runpy.run_path(program, run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except Exception:
        sys.excepthook(*sys.exc_info())  # as the interpreter ends; multiprocessing has its own words
        sys.exit(1)
    finally:
        atexit._run_exitfuncs()  # which a forked process would leave out
