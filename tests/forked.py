"""`python -m module ...` in a process of its own that doesn't wait for the imports: forked from one that has them."""

import atexit
import os
import runpy
import subprocess
import sys
import tempfile
from multiprocessing import forkserver, get_context
from pathlib import Path

from pipeline.device import quiet_start

_context = get_context("forkserver")
_context.set_forkserver_preload(["mlflow.keras", "mlflow.sklearn", "optuna", "pipeline.run"])


def run(module: str, *arguments: str, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess:
    """As subprocess.run gives it. Raises subprocess.TimeoutExpired."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        with quiet_start():  # of the process with the imports; this one's own output goes to its files
            forkserver.ensure_running()
        process = _context.Process(target=_main, args=(module, arguments, cwd, dict(os.environ), out, err))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired((module, *arguments), timeout, out.read_text(), err.read_text())
        return subprocess.CompletedProcess((module, *arguments), process.exitcode, out.read_text(), err.read_text())


def _main(
    module: str, arguments: tuple[str, ...], cwd: Path, environment: dict[str, str], out: Path, err: Path
) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception:
        sys.excepthook(*sys.exc_info())  # as the interpreter ends; multiprocessing has its own words
        sys.exit(1)
    finally:
        atexit._run_exitfuncs()  # which a forked process would leave out
