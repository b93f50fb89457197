"""`python fork_server.py <file descriptor>`: imports what commands need, then forks a process for each one.

Who asks sends the words of a command, its folder and environment, with what is to be its stdout and stderr; and is told
its number, and how it ended. Where who asked is gone, so is the process.
"""

import atexit
import ctypes
import fcntl
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from select import select
from types import ModuleType
from typing import Any

import interpreter

sys.path.insert(0, str(Path(__file__).parents[1]))  # this project, not another one that is installed
from pipeline.device import quiet_start

FREE = 512  # from here on, descriptors have no meaning to anybody


def serve(listener: socket.socket) -> tuple[bytes, list[int]]:
    """Until whoever started this program is gone. Returns in each process that it forks: with what it is to be."""
    living: dict[int, tuple[int, socket.socket]] = {}  # by what is readable when it has ended
    while True:
        asking = {connection: process for process, connection in living.values()}
        ready, _, _ = select([sys.stdin, listener, *living, *asking], [], [])
        if sys.stdin in ready:
            for process, _ in living.values():
                end(process)
            sys.exit()
        for connection in asking.keys() & ready:
            end(asking[connection])
        for ended in living.keys() & ready:
            process, connection = living.pop(ended)
            _, status = os.waitpid(process, 0)
            os.close(ended)
            tell(connection, os.waitstatus_to_exitcode(status))
            connection.close()
        if listener in ready:
            connection, _ = listener.accept()
            with quiet_start():
                importlib.import_module("preloaded")
            request, descriptors, *_ = socket.recv_fds(connection, interpreter.LONGEST, interpreter.MOST)
            if not request:  # who asked is gone already
                connection.close()
                continue
            process = os.fork()
            if not process:
                for each in (listener, connection, *asking):
                    each.close()
                for each in living:
                    os.close(each)
                return request, descriptors
            for each in descriptors:
                os.close(each)
            tell(connection, process)
            living[os.pidfd_open(process)] = process, connection


def end(process: int) -> None:
    """With what it has started."""
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:  # it has no group of its own yet
        os.kill(process, signal.SIGKILL)


def tell(connection: socket.socket, number: int) -> None:
    with suppress(OSError):  # nobody may be there any more
        connection.sendall(str(number).encode())


def become(
    descriptors: list[int],
    numbers: list[int],
    words: list[str],
    folder: str,
    environment: Mapping[str, str],
    path: list[str] | None,
    executable: str | None,
) -> None:
    """`python -m <words>`; or `python <words>` where the first is a file, or -c.

    descriptors: the first is of its network, the others are to have these numbers; path, executable: sys's, in place of
    this process's own.
    """
    os.setsid()
    enter(descriptors.pop(0))
    move(descriptors, numbers)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if "dask" in sys.modules:
        sys.modules["dask.config"].refresh()  # from this environment
    sys.path[:], sys.argv = [folder, *(path or sys.path)], words
    sys.executable = executable or sys.executable
    code: Any = 0
    try:
        if words[0] == "-c":
            _, program, *sys.argv[1:] = words
            sys.modules["__main__"] = ModuleType("__main__")
            exec(program, vars(sys.modules["__main__"]))
        elif words[0].endswith(".py"):
            runpy.run_path(words[0], run_name="__main__")
        else:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    # as the interpreter ends
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code or 0)


def move(descriptors: list[int], numbers: list[int]) -> None:
    """To these numbers. Where 0, 1 or 2 is none of them, it is /dev/null's."""
    kept = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, FREE) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for number in {0, 1, 2} - set(numbers):
        kept.append(os.open(os.devnull, os.O_RDWR))
        numbers.append(number)
    for own, number in zip(kept, numbers, strict=True):
        os.dup2(own, number)
        os.close(own)


def enter(network: int) -> None:
    """Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns is there from Python 3.12 on
    if not os.path.sameopenfile(network, other := os.open(interpreter.NETWORK, os.O_RDONLY)) and libc.setns(network, 0):
        raise OSError(ctypes.get_errno(), "the network cannot be entered")
    os.close(network)
    os.close(other)


if __name__ == "__main__":
    # by Python 3.12, of threads in pyarrow's allocator and in OpenBLAS, which are ready for a fork
    warnings.filterwarnings("ignore", ".* is multi-threaded", DeprecationWarning)
    # which a shell, or nohup, has ignored where this runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    request, descriptors = serve(socket.socket(fileno=int(sys.argv[1])))
    become(descriptors, **json.loads(request))
