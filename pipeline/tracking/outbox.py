"""Runs on their way to a server: written down in a folder first, then sent in order, so that training never waits.

A folder below <store>/unsent for each run, which goes when the server has it all: run.json, what the server is to know
of the run; entries.jsonl, what it logs, one entry a line; files/, what entries name; sent.json, how far the server has
it. One process at a time holds the lock beside it, and lets go of it by dying.
"""

import json
import os
import random
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

from filelock import FileLock, Timeout
from mlflow import MlflowClient

from pipeline.errors import PipelineError
from pipeline.tracking import server
from pipeline.tracking.entries import Entry, Log, apply, now, put_end
from pipeline.tracking.store import open_store

UNSENT = "unsent"  # in a store's folder
TAG = "mlflow.outbox"  # of a run on the server: by it one is found again whose creation nobody heard the answer to
PATIENCE = 60.0  # seconds of a server's silence, at the end of a run
IN_A_HURRY = 5.0  # the same where something else is more important
PAUSES = (0.5, 4.0)  # seconds between tries: the first, the longest
# MLflow's client would try eight times, two minutes each, before it says anything; here the outbox tries
SETTINGS = {
    server.RETRIES: "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class UnsentError(PipelineError):
    """The server stayed away, or refused; the run is on this machine's disk."""


class Outbox(Log):
    """What one run logs, kept in a folder and sent by a thread of its own."""

    def __init__(self, folder: Path, run: Mapping[str, Any] | None = None) -> None:
        """run: of a new one. Raises Timeout where another process has it, FileNotFoundError where it is gone."""
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        self.folder, self.files, self.entries = folder, folder / "files", folder / "entries.jsonl"
        self._lock = FileLock(f"{folder}.lock", timeout=0, thread_local=False)
        self._lock.acquire()
        if run is not None:  # from now on nobody takes it for one that was left
            self._make(run)
        self.run = json.loads((folder / "run.json").read_text())
        self._sent = json.loads((folder / "sent.json").read_text())
        self._client: MlflowClient | None = None
        self.arrived = False  # all of it
        self._news, self._closed, self._given_up = threading.Event(), threading.Event(), threading.Event()
        self._tried, self._heard = threading.Event(), time.monotonic()
        self._silence: Exception | None = None  # the last try's
        self._refusal: Exception | None = None
        self._thread = threading.Thread(target=self._deliver, daemon=True)

    def _make(self, run: Mapping[str, Any]) -> None:
        self.files.mkdir(parents=True)
        self.entries.touch()
        _write(self.folder / "sent.json", {"run_id": run.get("run_id"), "experiment_id": None, "bytes": 0})
        _write(self.folder / "run.json", {**run, "host": socket.gethostname(), "known_as": self.folder.name})

    @property
    def run_id(self) -> str:
        """The server's, where it is known; else the folder's name, which stands for it in files until then."""
        return self._sent["run_id"] or self.folder.name

    @property
    def experiment_id(self) -> str | None:
        return self._sent["experiment_id"]

    @property
    def opened_by(self) -> str:
        """The run's address, or the command that sends it there."""
        return self.address if self.arrived else self._command

    @property
    def address(self) -> str:
        return f"{self.run['uri'].rstrip('/')}/#/experiments/{self.experiment_id}/runs/{self.run_id}"

    @property
    def busy(self) -> bool:
        """Is there something that the server has not heard?"""
        return not self.arrived and self._sent["bytes"] < self.entries.stat().st_size

    @property
    def refused(self) -> bool:
        """Did the server answer, with a no?"""
        return self._refusal is not None

    def put(self, entry: Entry) -> None:
        with self.entries.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        self._news.set()

    def begin(self, required: bool) -> None:
        """Send from now on. Raises what the server refuses; and AwayError where one that is required doesn't answer."""
        self._thread.start()
        self._tried.wait(None if required else IN_A_HURRY)
        if error := self._refusal or (self._silence if required else None):
            self._given_up.set()
            self._closed.set()
            self._thread.join()
            self._remove()
            raise error
        self._describe(known_as=self.run_id)

    def resume(self, uri: str | None = None) -> None:
        """Send on, to another address where the server has one by now."""
        self._describe(uri=uri or self.run["uri"])
        self._thread.start()

    def close(self, patience: float) -> None:
        """Wait until all is sent, for as long as the server gives signs of life; then the folder goes.

        Raises UnsentError after this many seconds of silence, or where the server refuses; whoever likes may then try.
        """
        ended = time.monotonic()
        self._closed.set()
        self._news.set()
        while self._thread.is_alive():
            self._thread.join(0.05)
            silence = self._silence  # the thread may be hearing something just now
            if silence is not None and time.monotonic() - max(ended, self._heard) > patience:
                self._given_up.set()
                raise UnsentError(self._kept(f"no answer for {patience:g} s ({server.origin(silence)})"))
        if self.refused:
            raise UnsentError(self._kept(server.reason(self._refusal)))

    def _kept(self, reason: str) -> str:
        here = os.path.relpath(self.folder)
        return f"tracking.uri={self.run['uri']}: {reason}; the run is kept in {here}, and `{self._command}` sends it"

    @property
    def _command(self) -> str:
        store = os.path.relpath(self.folder.parents[1])
        return "python -m pipeline.send" + (f" --store {quote(store)}" if store != "mlruns" else "")

    def _deliver(self) -> None:
        """The thread: until the server has all that there will be, refuses something, or is no longer waited for."""
        pause, longest = PAUSES
        while not self._given_up.is_set():
            self._news.clear()
            try:
                self._send()
            except Exception as error:
                if not server.passes(error):
                    self._refusal = error
                    break
                self._silence = error
                self._tried.set()
                self._given_up.wait(pause * random.uniform(0.5, 1))  # who lost it together comes back one by one
                pause = min(2 * pause, longest)
                continue
            self._silence, pause = None, PAUSES[0]
            self._tried.set()
            if self._closed.is_set() and not self.busy:
                self._remove()
                break
            self._news.wait()
        self._tried.set()
        self._closed.wait()  # a run that goes on is nobody else's, refused or not
        self._lock.release()

    def _send(self) -> None:
        """What the server has not heard yet. Raises what the client raises; what was sent by then stays sent."""
        client = self._reach()
        with self.entries.open("rb") as file:
            file.seek(self._sent["bytes"])
            while (line := file.readline()).endswith(b"\n"):  # another thread may be writing the last
                entry = json.loads(line)
                self._name_by_server(entry)
                apply(entry, client, self.run_id, self.files)
                self._mark(bytes=file.tell())

    def _reach(self) -> MlflowClient:
        if self._client is None:
            client, experiment_id = open_store("", self.run["uri"], self.run["experiment"])
            run_id = self._sent["run_id"] or self._create(client, experiment_id)
            self._mark(run_id=run_id, experiment_id=experiment_id)
            self._client = client
        return self._client

    def _create(self, client: MlflowClient, experiment_id: str) -> str:
        found = client.search_runs([experiment_id], f"tags.`{TAG}` = '{self.folder.name}'", max_results=1)
        if not found:
            tags = {**self.run["tags"], TAG: self.folder.name}
            with server.once():
                found = [client.create_run(experiment_id, self.run["began"], tags, self.run["name"])]
        return found[0].info.run_id

    def _name_by_server(self, entry: Entry) -> None:
        """In files that were written when nobody could be asked for the run's id."""
        before, after = self.run["known_as"].encode(), self.run_id.encode()
        if before == after:
            return
        for path in (self.files / name for name in entry.get("files", ())):
            for file in path.rglob("*") if path.is_dir() else [path]:
                if file.is_file() and before in (content := file.read_bytes()):
                    file.write_bytes(content.replace(before, after))

    def _describe(self, **run: Any) -> None:
        self.run = {**self.run, **run}
        _write(self.folder / "run.json", self.run)

    def _mark(self, **sent: Any) -> None:
        self._sent = {**self._sent, **sent}
        _write(self.folder / "sent.json", self._sent)
        self._heard = time.monotonic()

    def _remove(self) -> None:
        self.arrived = True
        shutil.rmtree(self.folder)
        Path(self._lock.lock_file).unlink(missing_ok=True)


def patience(tracking: Mapping[str, Any]) -> float:
    """Of a configuration, which may be one that says nothing of it."""
    said = tracking.get("patience")
    return PATIENCE if said is None else said


@contextmanager
def opened(store: Path, run: Mapping[str, Any], *, required: bool, patience: float) -> Iterator[Outbox]:
    """For the length of a run. run: uri, experiment, run_id where the server has it already, else name, tags, began.

    required: raises AwayError where the server doesn't answer at the start, UnsentError where it hasn't got all at the
    end; else a line says so. What other runs left behind on this host is taken along.
    """
    if required:
        server.check(run["uri"])  # before there is anything to leave behind
    name = f"{now():012x}{uuid.uuid4().hex}"[:32]  # like the server's, and in the order of time
    outbox = Outbox(store.resolve() / UNSENT / name, run)
    outbox.begin(required)
    threading.Thread(target=_take_along, args=(store,), daemon=True).start()
    try:
        yield outbox
    except BaseException:
        _close(outbox, min(patience, IN_A_HURRY))
        raise
    if required:
        outbox.close(patience)
    else:
        _close(outbox, patience)


def _close(outbox: Outbox, patience: float) -> None:
    try:
        outbox.close(patience)
    except UnsentError as error:
        print(error, flush=True)


def left(store: Path, host: str | None = None) -> Iterator[Outbox]:
    """Those of runs that ended before the server had all of them, the oldest first; of this host alone, or all.

    One whose process died gets the end that this process couldn't give it. Locks between hosts are as good as the file
    system's, hence the choice.
    """
    for file in sorted((store.resolve() / UNSENT).glob("*/run.json")):
        try:
            outbox = Outbox(file.parent)
        except (Timeout, FileNotFoundError):  # somebody has it, or had it
            continue
        if host in (None, outbox.run["host"]):
            _end(outbox)
            yield outbox


def _end(outbox: Outbox) -> None:
    written = outbox.entries.read_bytes()
    whole = written[: written.rfind(b"\n") + 1]
    os.truncate(outbox.entries, len(whole))
    last = whole.splitlines()[-1:]
    if not last or "ended" not in json.loads(last[0]):
        outbox.put({"tags": {"state": "killed"}})
        put_end(outbox, "KILLED")


def deliver_left(
    store: Path, patience: float, host: str | None = None, uri: str | None = None
) -> Iterator[tuple[Outbox, UnsentError | None]]:
    """What `left` finds, one after the other, with the error where the server has not got it; none after a silence."""
    for outbox in left(store, host):
        outbox.resume(uri)
        try:
            outbox.close(patience)
        except UnsentError as error:
            yield outbox, error
            if not outbox.refused:
                return
        else:
            yield outbox, None


def _take_along(store: Path) -> None:
    for _ in deliver_left(store, IN_A_HURRY, socket.gethostname()):
        pass


def _write(path: Path, content: Mapping[str, Any]) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(content))
    unfinished.replace(path)
