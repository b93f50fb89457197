"""Ray Tune: a worker on each core that is kept between trials, ASHA as it comes. Nothing is logged to MLflow."""

import os
from pathlib import Path

import work


def train(config: dict) -> None:
    import keras
    from ray import tune

    class Report(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            tune.report({"val_accuracy": logs["val_accuracy"]})

    task = work.read(config["folder"])
    work.fit(task, work.data(task["images"]), config["point"], [Report()])


def main() -> None:
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    os.environ |= dict.fromkeys(threads, "1") | {"PYTHONPATH": str(Path(__file__).parent)}  # for the workers
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    task = work.read()
    ray.init(num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False)
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={"point": tune.grid_search(task["points"]), "folder": Path.cwd()},
        tune_config=tune.TuneConfig(
            metric="val_accuracy", mode="max", scheduler=ASHAScheduler(max_t=task["epochs"]), reuse_actors=True
        ),
        run_config=tune.RunConfig(storage_path=str(Path.cwd()), name="ray", verbose=0),
    )
    for result in tuner.fit():
        work.keep(result.config["point"], result.metrics_dataframe["val_accuracy"])


if __name__ == "__main__":
    main()
