"""The suites that hydra-core ships for sweepers, and files that were written for the official plugin."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import forked
import optuna
import pytest
from conftest import command
from hydra import version
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, IntegrationTestSuite, LauncherTestSuite
from omegaconf import OmegaConf


@pytest.fixture(autouse=True)
def as_where_no_version_base_is_named() -> Iterator[None]:
    """Other tests of this process name one, and Hydra keeps it for good."""
    named = version.getbase()  # no version, where this file comes first
    version.setbase("1.1")
    yield
    version.setbase(str(named) if isinstance(named, version.Version) else "1.3")


def test_hydra_discovers_the_plugin() -> None:
    assert "OptunaSweeper" in [plugin.__name__ for plugin in Plugins.instance().discover(Sweeper)]


@pytest.mark.parametrize("launcher_name, overrides", [("basic", ["hydra/sweeper=optuna", "hydra.sweeper.n_jobs=2"])])
class TestAsASweeper(LauncherTestSuite):
    """Of one batch and of several jobs, groups and values, resolvers, wrong keys."""


@pytest.mark.parametrize("launcher_name, overrides", [("basic", ["hydra/sweeper=optuna", "hydra.sweeper.n_jobs=2"])])
class TestInBatches(BatchedSweeperTestSuite):
    """Six jobs, returned two by two, in the order of the grid."""


@pytest.mark.parametrize("task_launcher_cfg, extra_flags", [({}, ["-m", "hydra/sweeper=optuna"])])
class TestIntegration(IntegrationTestSuite):
    """Job names, folders, working directories."""


SPHERE = """
import hydra
from omegaconf import DictConfig

@hydra.main(version_base=None, config_path=".", config_name="config")
def sphere(cfg: DictConfig) -> float:
    if cfg.get("error", False):
        raise RuntimeError("cfg.error is True")
    return cfg.x**2 + cfg.y**2

if __name__ == "__main__":
    sphere()
"""

# the keys and values of the example in the official plugin's documentation
EXAMPLE = """
defaults:
  - override hydra/sweeper: optuna
  - override hydra/sweeper/sampler: tpe
hydra:
  sweeper:
    sampler:
      seed: 123
    direction: minimize
    study_name: sphere
    storage: null
    n_trials: 20
    n_jobs: 1
    params:
      x: range(-5.5,5.5,step=0.5)
      y: choice(-5,0,5)
x: 1
y: 1
z: 1
"""

# a file in the manner of the templates' hparams_search, with the official plugin's address
SEARCH = """
# @package _global_
defaults:
  - override /hydra/sweeper: optuna
hydra:
  mode: MULTIRUN
  sweeper:
    _target_: hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper
    storage: null
    study_name: null
    n_jobs: 1
    direction: maximize
    n_trials: 2
    sampler:
      _target_: optuna.samplers.TPESampler
      seed: 1234
      n_startup_trials: 10
    params:
      optimizer.learning_rate: interval(0.0001, 0.1)
      batch_size: choice(32, 64, 128, 256)
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return forked.run("app.py", *arguments, cwd=folder, forks=False)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(SPHERE)
    (tmp_path / "config.yaml").write_text(EXAMPLE)
    return tmp_path


def test_the_documentations_example_runs_unchanged(example: Path) -> None:
    storage = f"sqlite:///{example / 'test.db'}"
    done = run(example, "--multirun", f"hydra.sweep.dir={example}/out", f"hydra.sweeper.storage={storage}", "~z")
    assert done.returncode == 0, done.stderr
    results = OmegaConf.load(example / "out" / "optimization_results.yaml")
    study = optuna.load_study(storage=storage, study_name="sphere")
    assert len(study.trials) == 20
    assert results.name == "optuna"
    assert (results.best_params.x, results.best_params.y) == (study.best_params["x"], study.best_params["y"])
    assert results.best_value == study.best_value <= 2.27


def test_its_command_line_replaces_what_the_file_sweeps(example: Path) -> None:
    done = run(example, "--multirun", f"hydra.sweep.dir={example}/out", "x=choice(0,1,2)", "y=0")
    assert done.returncode == 0, done.stderr
    results = OmegaConf.load(example / "out" / "optimization_results.yaml")
    assert (list(results.best_params), results.best_value) == (["x"], 0)


def test_a_failing_function_ends_the_sweep_as_with_the_official_plugin(example: Path) -> None:
    done = run(example, "--multirun", f"hydra.sweep.dir={example}/out", "+error=true")
    assert done.returncode != 0
    assert "RuntimeError: cfg.error is True" in done.stderr


def test_two_objectives_have_a_front(example: Path) -> None:
    source = SPHERE.replace("-> float", "-> tuple").replace(
        "return cfg.x**2 + cfg.y**2", "return cfg.x**2 + cfg.y**2, (cfg.x - 5) ** 2 + (cfg.y - 5) ** 2"
    )
    (example / "app.py").write_text(source)
    done = run(
        example,
        "--multirun",
        f"hydra.sweep.dir={example}/out",
        "hydra/sweeper/sampler=nsgaii",
        "hydra.sweeper.direction=[minimize,minimize]",
        "hydra.sweeper.params={x:'range(0,5,step=0.5)',y:'range(0,3,step=0.5)'}",
    )
    assert done.returncode == 0, done.stderr
    solutions = OmegaConf.load(example / "out" / "optimization_results.yaml").solutions
    assert len(solutions) > 1
    for one in solutions:
        for other in solutions:
            assert not (one["values"][0] < other["values"][0] and one["values"][1] < other["values"][1])


def test_a_custom_search_space_may_ask_for_more(example: Path) -> None:
    source = SPHERE.replace(
        "if __name__",
        "def configure(cfg, trial):\n"
        "    x = trial.params['x']\n"
        "    trial.suggest_float('z', x - cfg.most, x + cfg.most)\n"
        "    trial.suggest_float('+w', 0.0, 1.0)\n\n"
        "if __name__",
    )
    (example / "app.py").write_text(source)
    done = run(
        example,
        "--multirun",
        f"hydra.sweep.dir={example}/out",
        "hydra.sweeper.custom_search_space=app.configure",
        "+most=0.3",
    )
    assert done.returncode == 0, done.stderr
    params = OmegaConf.load(example / "out" / "optimization_results.yaml").best_params
    assert abs(params.x - params.z) <= 0.3
    assert 0 <= params["+w"] <= 1


def test_a_hparams_search_file_runs_unchanged(tmp_path: Path) -> None:
    """On this project's own entry, found by --config-dir as a template's user would keep it."""
    (tmp_path / "hparams_search").mkdir()
    (tmp_path / "hparams_search" / "mine.yaml").write_text(SEARCH)
    short = ("model=softmax_regression", "dataset=digits", "epochs=1", "tracking=none")
    done = command(f"--config-dir={tmp_path}", "+hparams_search=mine", *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 complete of 2 trials" in done.stdout
