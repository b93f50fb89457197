"""How soon 99 %: `experiment=fast99` beside the recipe of reference 003, `experiment=cnn_dropout`, on the same machine.

Command: python benchmarks/fast99.py [--seeds 10] [--recipes 2] dataset.path=mnist.npz
Recipe:  seconds of training until an epoch first ends with 99.0 % of the test split; looking is not counted.
Fast:    seconds of training of the whole run, and of the command from imports to the logged model.
Cost:    about 10 minutes on two cores; the two alternate.
"""

import argparse
import contextlib
import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import document
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pipeline import datasets, device
from pipeline.models import network
from pipeline.training import network as training

ROOT = Path(__file__).parents[1]
WANTED = 0.99


def recipe(overrides: list[str], seed: int) -> float:
    """Seconds of training to the first epoch of the wanted accuracy."""
    cfg = configuration("experiment=cnn_dropout", f"seed={seed}", *overrides)
    dataset = datasets.load(cfg.dataset)
    device.prepare(cfg.device, cfg.precision, cfg.seed)
    model, prepared = training.prepare(network.build(cfg, dataset), dataset, cfg)
    looked, reached = [], []

    def look(epoch: int, metrics: dict[str, float]) -> bool:
        began = time.perf_counter()
        trained = began - start - sum(looked)
        right = network.predict(model, dataset.test.images).argmax(axis=1) == dataset.test.labels
        if right.mean() >= WANTED:
            reached.append(trained)
        looked.append(time.perf_counter() - began)
        return bool(reached)

    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        training.fit(prepared, dataset, cfg, [look])
    if not reached:
        raise SystemExit(f"seed {seed}: the recipe has not reached {WANTED:.1%} in {cfg.epochs} epochs")
    return reached[0]


def fast(overrides: list[str], seed: int, folder: Path) -> tuple[float, float, float]:
    """(test accuracy, seconds of training, seconds of the command), logged in this folder."""
    from mlflow import MlflowClient

    words = ["experiment=fast99", f"seed={seed}", f"tracking.store={folder / 'mlruns'}", *overrides]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "pipeline.train", *words], check=True, stdout=subprocess.DEVNULL)
    whole = time.perf_counter() - began
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiments = [each.experiment_id for each in client.search_experiments()]
    run = client.search_runs(experiments, f"params.seed = '{seed}'", max_results=1)[0]  # the latest
    return run.data.metrics["test_accuracy"], run.data.metrics["train_seconds"], whole


def configuration(*words: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--recipes", type=int, default=2, help="how often the recipe is trained")
    parser.add_argument("overrides", nargs="*", help="for both: dataset.path=mnist.npz")
    asked = parser.parse_args()
    overrides = [
        f"dataset.path={Path(word.partition('=')[2]).resolve()}" if word.startswith("dataset.path=") else word
        for word in asked.overrides
    ]
    slow, quick = [], []
    folder = Path(tempfile.mkdtemp())
    fast(overrides, 0, folder)  # a new store takes three seconds, once
    for seed in range(asked.seeds):
        if seed % -(-asked.seeds // asked.recipes) == 0:
            slow.append(recipe(overrides, seed))
            print(f"recipe, seed {seed}: {slow[-1]:.1f} s", flush=True)
        quick.append(fast(overrides, seed, folder))
        print("fast99, seed {}: test {:.4f}, {:.2f} s, whole command {:.1f} s".format(seed, *quick[-1]), flush=True)
    accuracies, seconds, whole = zip(*quick, strict=True)
    base = statistics.fmean(slow)
    rows = [
        ("recipe of reference 003", f"first epoch of {WANTED:.1%}", document.spread(slow, 1), "", "1"),
        (
            "`experiment=fast99`",
            document.spread(accuracies, 4),
            document.spread(seconds),
            document.spread(whole, 1),
            f"1/{base / statistics.fmean(seconds):.0f} (the whole command 1/{base / statistics.fmean(whole):.1f})",
        ),
    ]
    header = ("", f"test accuracy, {asked.seeds} seeds", "seconds of training", "of the command", "of the recipe")
    document.write_section(
        "fast99",
        f"## 99 % as soon as can be\n\n{document.command()}: the two in turn; the store is there already.\n\n"
        f"{document.table(header, rows)}\n\n{document.machine()}",
    )


if __name__ == "__main__":
    main()
