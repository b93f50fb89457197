"""Fixtures: a command line in an empty folder, configurations, a small dataset, one finished run, a toy to sweep."""

import json
import os
import pickle
import shlex
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import empty_store
import forked
import interpreter
import numpy as np
import optuna
import pytest
from filelock import FileLock
from hydra import compose, initialize_config_dir
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig
from postgresql import Server, running

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
TOY = Path(__file__).parent / "sweeps" / "toy"
TINY = ("dataset.limit=500", "dataset.split.val=100", "dataset.split.test=100", "epochs=2")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests also wait, for processes to end and for servers."""
    return (os.cpu_count() or 1) + 1


# by what their tests take; --dist loadfile gives each file to one process
LONGEST = ("in_mlflow", "run", "sweep", "train", "gallery", "faults", "cluster_faults", "kept", "dvc", "results")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one that is begun at the end has the others wait for it."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iterator[None]:
    """What forks commands is there before xdist's processes, and for all of them."""
    with forked.server():
        return (yield)


def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Its processes are forked as well: each would import for 14 seconds."""
    for spec in specs:
        spec.python = shlex.quote(interpreter.own())


def command(
    *arguments: str, cwd: Path, module: str = "pipeline.train", fresh: bool = False
) -> subprocess.CompletedProcess:
    """`python -m pipeline.train ...` as a person runs it, in the folder cwd.

    fresh: with imports of its own, where the environment or the folder has a say in them; that takes twice as long.
    """
    if fresh:
        words = [sys.executable, "-m", module, *arguments]
        return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300)
    return forked.run(module, *arguments, cwd=cwd)


def imported_by(*words: str, cwd: Path) -> set[str]:
    """The modules that `python -m ...` imports, whatever the clock says."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *words], cwd=cwd, capture_output=True, text=True, timeout=60
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time")]
    return {line.rpartition("|")[2].strip() for line in lines}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clone(folder: Path) -> Path:
    """A repository of the project as it is in the working tree, all of it committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("the project is not a git checkout here")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run([*git, "clone", "-q", str(ROOT), str(folder)], check=True)
    changes = subprocess.run([*git, "diff", "--binary", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    if changes:
        subprocess.run([*git, "apply", "--index"], cwd=folder, input=changes, check=True)
        subprocess.run([*git, "commit", "-qm", "as it is now"], cwd=folder, check=True)
    return folder


def configuration(*overrides: str) -> DictConfig:
    """What the command line would compose."""
    return pickle.loads(_composed(overrides))


@cache
def _composed(overrides: tuple[str, ...]) -> bytes:
    with composing():
        return pickle.dumps(compose("config", overrides=list(overrides)))


@contextmanager
def composing() -> Iterator[Hydra]:
    """Hydra, which is at home in conf/."""
    with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        hydra.config_loader.repository = ReadOnce(hydra.config_loader.repository)
        yield hydra


class ReadOnce(CachingConfigRepository):
    """Each file once for all tests of a process: that is half of what composing takes."""

    contents: ClassVar[dict[str, bytes]] = {}

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path not in self.contents:
            self.contents[config_path] = pickle.dumps(self.delegate.load_config(config_path))
        return pickle.loads(self.contents[config_path])

    def __deepcopy__(self, memo: dict) -> "ReadOnce":
        return self


@dataclass(frozen=True)
class FinishedRun:
    """A training run through the command line: its folder and what it printed."""

    folder: Path
    done: subprocess.CompletedProcess


@pytest.fixture(scope="session", autouse=True)
def stores_are_copies() -> None:
    empty_store.copy()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """cnn_dropout on 300 real digits for two epochs: trained by the process that is first, a copy of it for each."""
    trained = forked.folder() / "finished_run"
    with FileLock(f"{trained}.lock"):
        if not trained.exists():
            trained.mkdir()
            done = command("model=cnn_dropout", *TINY, "optimizer.beta_1=0.8", cwd=trained)
            trained.with_suffix(".pickle").write_bytes(pickle.dumps(done))
    done = pickle.loads(trained.with_suffix(".pickle").read_bytes())
    assert done.returncode == 0, done.stderr
    return FinishedRun(shutil.copytree(trained, tmp_path_factory.mktemp("finished") / "run"), done)


@pytest.fixture
def write_npz(tmp_path: Path) -> Callable[..., Path]:
    """Writes the arrays of a small valid npz, with those given in place of its own (None leaves one out)."""

    def write(**replaced: np.ndarray | None) -> Path:
        generator = np.random.default_rng(0)
        arrays = {
            "x_train": generator.integers(0, 256, (60, 8, 8), dtype=np.uint8),
            "y_train": np.arange(60) % 3,
            "x_test": generator.integers(0, 256, (15, 8, 8), dtype=np.uint8),
            "y_test": np.arange(15) % 3,
        }
        arrays = {name: array for name, array in (arrays | replaced).items() if array is not None}
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


@dataclass(frozen=True)
class Toy:
    """`@key=value` in its commands stands for hydra.sweeper.key=value. Its slots' processes import for themselves."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "app.py", "-m", *(f"hydra.sweeper.{a[1:]}" if a[0] == "@" else a for a in arguments)]

    def start(self, *arguments: str, fresh: bool = False) -> forked.Process | subprocess.Popen:
        """In a session of its own, so that a test can kill it whole; fresh as above."""
        if fresh:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        return forked.Process(*self.command(*arguments)[1:], cwd=self.folder, forks=False)

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        return forked.run(*self.command(*arguments)[1:], cwd=self.folder, timeout=120, forks=False)

    def sweep(self, *arguments: str) -> subprocess.CompletedProcess:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done

    def study(self, name: str = "toy") -> optuna.Study:
        return optuna.load_study(study_name=name, storage=f"sqlite:///{self.folder / 'studies.db'}")

    def states(self) -> Counter:
        return Counter(trial.state.name for trial in self.study().trials)

    def events(self, kind: str) -> list[dict[str, Any]]:
        file = self.folder / "events.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [event for line in lines if (event := json.loads(line))["event"] == kind]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """Debian's, started for these tests; its password is in the environment."""
    with running() as server:
        yield server


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    for file in TOY.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    return Toy(tmp_path)
