"""hydra-optuna-sweeper's pre-release on Optuna 5, trials one after another, with autolog of all but the models."""

import sys

import hydra
import mlflow
import work
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=".", config_name="hydra_optuna")
def main(cfg: DictConfig) -> float:
    task = work.read()
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("hydra-optuna-sweeper")
    mlflow.tensorflow.autolog(log_models=False)
    point = {name: cfg[name] for name in ("learning_rate", "batch_size", "dropout")}
    with mlflow.start_run():
        curve = work.fit(task, work.data(task["images"]), point)
    work.keep(point, curve)
    return max(curve)


if __name__ == "__main__":
    asked = work.read()
    sys.argv += [f"hydra.sweeper.n_trials={len(asked['points'])}", f"hydra.sweeper.sampler.seed={asked['seed']}"]
    main()
