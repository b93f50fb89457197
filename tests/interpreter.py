"""`python` for what forked commands start: without imports of its own, it has that forked as well and stands for it.

It is gone when that is, with the same status; what it is sent by a signal, that gets; and that is gone when it is.
"""

import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

ADDRESS = "SWEEPLINE_TESTS_FORK_SERVER"
KIND = socket.AF_UNIX, socket.SOCK_SEQPACKET  # a request is one message
LONGEST = 1 << 18
MOST = 64  # descriptors
NETWORK = "/proc/self/ns/net"  # that a process is in
HANDED_ON = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def own() -> str:
    """Its place: the fork server's folder."""
    return str(Path(os.environ[ADDRESS]).with_name("python"))


def write() -> None:
    """Isolated and without site-packages, it starts in 0.03 s."""
    file, words = Path(own()), shlex.join((sys.executable, "-IS", __file__))
    file.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    file.chmod(0o700)


def ask(descriptors: Mapping[int, int], network: str = NETWORK, **request: Any) -> socket.socket:
    """For a process with these descriptors, by the numbers that they get there; what else is fork_server.become's.

    Returns where the process's number is told, and then how it ended. Who closes that ends the process.
    """
    connection = socket.socket(*KIND)
    connection.connect(os.environ[ADDRESS])
    message = json.dumps({**request, "numbers": list(descriptors)}).encode()
    with open(network) as file:  # noqa: PTH123
        socket.send_fds(connection, [message], [file.fileno(), *descriptors.values()])
    return connection


def main() -> None:
    words = sys.argv[1:]
    while words[0] in ("-P", "-u", "-m"):
        words.pop(0)
    connection = ask(
        {number: number for number in inherited()},
        words=words,
        folder=str(Path.cwd()),
        environment=dict(os.environ),
        path=None,
        executable=None if words[0] == "-c" else own(),  # the tests' own processes choose
    )
    process = int(connection.recv(20))

    def hand_on(signum: int, _: object) -> None:
        with suppress(ProcessLookupError):
            try:
                os.killpg(process, signum)  # and to what it has started
            except ProcessLookupError:  # it has no group of its own yet
                os.kill(process, signum)

    for signum in HANDED_ON:
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, hand_on)
    status = int(connection.recv(20))
    if status < 0:
        with suppress(OSError):  # SIGKILL's cannot be set
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def inherited() -> list[int]:
    """The descriptors that whoever started this process has given it."""
    numbers = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
    found = []
    for number in numbers:
        with suppress(OSError):  # that of the list itself
            os.fstat(number)
            found.append(number)
    return found


if __name__ == "__main__":
    main()
