"""How long a person looks at an empty page: MLflow's UI on a store of many runs, until the leaderboard stands there.

Command: python benchmarks/ui_first_view.py [runs] [times]     (default: 500 5; about two minutes, needs Chromium)
Prints seconds from when the server answers, mean and standard deviation; server and browser are fresh each time.
"""

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mlflow.entities import Metric, Param

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from browser import ROWS, chromium, served, wait_for
from conftest import free_port

from pipeline.tracking.store import open_store

EPOCHS = 25
PARAMS = {"model": "cnn_dropout", "dataset": "mnist5k", "schedule": "constant", "batch_size": "64", "dropout": "0.5"}
PARAMS |= {"regularizer": "none", "augmentation": "none", "epochs": str(EPOCHS), "precision": "float32"}
FILLED = f"{ROWS} > 0 && document.querySelector('[role=gridcell][col-id=\"metrics.`best_val_accuracy`\"]').innerText"


def main(runs: int, times: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name) / "mlruns", runs)
        seconds = [first_view(Path(name)) for _ in range(times)]
    spread = f" ± {statistics.stdev(seconds):.2f}" if times > 1 else ""
    each = ", ".join(f"{value:.2f}" for value in seconds)
    print(f"{runs} runs: the leaderboard after {statistics.fmean(seconds):.2f}{spread} s ({each})")


def fill(store: Path, runs: int) -> None:
    """Runs with the metrics, parameters and tags that training leaves, without its files."""
    client, experiment_id = open_store(str(store), None, "mnist5k")
    generator = random.Random(0)
    for number in range(runs):
        tags = {"kind": "run", "state": "complete", "git_commit": "0" * 40, "dataset_sha256": "0" * 64}
        tags |= {"sweep": f"sweep {number // 40}", "trial": str(number % 40)} if number % 2 else {}
        run_id = client.create_run(experiment_id, run_name=f"cnn_dropout adam seed {number}", tags=tags).info.run_id
        params = PARAMS | {
            "optimizer": generator.choice(("adam", "sgd")),
            "lr": f"{10 ** generator.uniform(-4, -1):.3g}",
        }
        best = generator.uniform(0.9, 0.98)
        curves = {"train_loss": 1 - best, "train_accuracy": best, "val_loss": 1 - best, "val_accuracy": best}
        now = int(time.time() * 1000)
        metrics = [
            Metric(key, value * epoch / EPOCHS, now, epoch)
            for epoch in range(1, EPOCHS + 1)
            for key, value in curves.items()
        ]
        once = {
            "best_val_accuracy": best,
            "test_accuracy": best,
            "weights": 260476,
            "train_seconds": 25.0,
            "best_epoch": 25,
        }
        metrics += [Metric(key, value, now, 0) for key, value in once.items()]
        client.log_batch(
            run_id, metrics, [Param(key, value) for key, value in (params | {"seed": str(number)}).items()]
        )
        client.set_terminated(run_id)


def first_view(folder: Path) -> float:
    with chromium(1600, 1200) as driver, served(folder, "--port", str(free_port())) as addresses:
        began = time.perf_counter()
        driver.get(addresses[0])
        wait_for(driver, FILLED)
        return time.perf_counter() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
