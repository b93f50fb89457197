"""What a trial costs beside its training: a sweep of a function that does nothing.

Command: python benchmarks/sweep_overhead.py [trials] [sampler]     (default: 500 tpe; about half a minute)
Prints milliseconds a trial, over all and by hundreds, with two warm workers, a study in SQLite and two parameters.
"""

import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import optuna

APP = """
import hydra

@hydra.main(version_base="1.3", config_path=".", config_name="config")
def nothing(cfg) -> float:
    return (cfg.x - 0.3) ** 2 + cfg.y

if __name__ == "__main__":
    nothing()
"""
CONFIG = """
defaults:
  - _self_
  - override hydra/sweeper: optuna
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
x: 0
y: 0
hydra:
  sweep: {dir: out}
  sweeper:
    storage: sqlite:///studies.db
    study_name: nothing
    params: {x: "interval(0,1)", y: "interval(0,1)"}
    executor: {name: local, slots: 2, trials_per_worker: 100000}
"""


def main(trials: int, sampler: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        (folder / "config.yaml").write_text(CONFIG)
        words = [f"hydra.sweeper.n_trials={trials}", f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.sampler.seed=0"]
        subprocess.run([sys.executable, "app.py", "-m", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        study = optuna.load_study(study_name="nothing", storage=f"sqlite:///{folder}/studies.db")
    ends = sorted(trial.datetime_complete for trial in study.trials)
    warm = ends[1:]  # the first one waits for the workers to start
    print(f"{trials} trials, sampler {sampler}: {milliseconds(warm):.1f} ms a trial")
    for start in range(0, len(warm) - 1, 100):
        part = warm[start : start + 101]
        print(f"  trials {start + 1:>4} to {start + len(part):>4}: {milliseconds(part):5.1f} ms")


def milliseconds(ends: list[datetime]) -> float:
    """From one trial's end to the next."""
    return 1000 * (ends[-1] - ends[0]).total_seconds() / (len(ends) - 1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500, sys.argv[2] if len(sys.argv) > 2 else "tpe")
