"""A PostgreSQL server of the tests' own: Debian's, on loopback, with a password."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.pool import NullPool

PASSWORD = "kept-f0r-Ourselves"
VARIABLE = "STUDY_PASSWORD"


def programs() -> Path:
    """Where Debian keeps the newest version's; skips where there is none."""
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'sweepline[cluster]'")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found and not shutil.which("initdb"):
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    return (found[-1] if found else Path(shutil.which("initdb"))).parent


@dataclass(frozen=True)
class Server:
    """Whose data are in a folder of its own."""

    programs: Path
    folder: Path
    port: int
    durable: bool = False  # waits for the disk: no test needs that
    where: tuple[str, ...] = ()  # words before its programs: into a network namespace

    def run(self, program: str, *arguments: str) -> None:
        """As a user that may: PostgreSQL refuses root."""
        as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        words = [*self.where, *as_user, str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True, timeout=60)

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {quote(str(self.folder))}{'' if self.durable else ' -F'}"
        self.run("pg_ctl", "start", "-w", "-l", str(self.folder / "log"), "-o", options)

    def stop(self, how: str = "fast") -> None:
        self.run("pg_ctl", "stop", "-w", "-m", how)

    def url(self, password: str = f"${{oc.env:{VARIABLE}}}") -> str:
        return f"postgresql+psycopg://postgres:{password}@127.0.0.1:{self.port}/postgres"

    def trials(self, study: str, url: str | None = None) -> list[FrozenTrial]:
        """As they are now; no connection stays. Raises KeyError where there is no such study."""
        store = RDBStorage(url or self.url(PASSWORD), engine_kwargs={"poolclass": NullPool})
        return optuna.load_study(study_name=study, storage=store).trials


@contextmanager
def running(*, durable: bool = False, where: tuple[str, ...] = ()) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("needs a user `postgres`: the server refuses to run as root")
            for path in (folder, folder / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = Server(programs(), folder, port, durable, where)
        server.run("initdb", "-A", "scram-sha-256", "--pwfile", str(folder / "password"), "-U", "postgres", "-N")
        (folder / "password").unlink()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
