"""What pruning saves and what it costs: `sweep=everything` with and without it, alternating, several sampler seeds.

Command: python benchmarks/pruning.py [seeds] [trials] [epochs]     (default: 3 24 12; about 40 minutes on two cores)
Prints epochs trained and best validation accuracy of each, and their ratio and difference.
"""

import statistics
import subprocess
import sys
import tempfile

import optuna


def sweep(store: str, pruner: str, seed: int, trials: int, epochs: int) -> tuple[int, float]:
    """(epochs trained in all, best validation accuracy)."""
    words = [
        "model=cnn_dropout",
        "sweep=everything",
        f"pruner={pruner}",
        f"epochs={epochs}",
        f"sweep.n_trials={trials}",
    ]
    words += [f"sweep.seed={seed}", f"sweep.name={pruner}-{seed}", "tracking=none", f"tracking.store={store}"]
    subprocess.run([sys.executable, "-m", "pipeline.train", *words], check=True, stdout=subprocess.DEVNULL)
    study = optuna.load_study(study_name=f"{pruner}-{seed}", storage=f"sqlite:///{store}/studies.db")
    return sum(len(trial.intermediate_values) for trial in study.trials), study.best_value


def main(seeds: int, trials: int, epochs: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    shares, losses = [], []
    with tempfile.TemporaryDirectory() as store:
        for seed in range(seeds):
            all_epochs, best = sweep(store, "none", seed, trials, epochs)
            some_epochs, pruned_best = sweep(store, "successive_halving", seed, trials, epochs)
            shares.append(some_epochs / all_epochs)
            losses.append(100 * (best - pruned_best))
            print(
                f"seed {seed}: {all_epochs} epochs, best {best:.4f}; pruned {some_epochs} epochs ({shares[-1]:.0%}), "
                f"best {pruned_best:.4f} ({-losses[-1]:+.2f} points)",
                flush=True,
            )
    print(f"mean: {statistics.fmean(shares):.0%} of the epochs, {-statistics.fmean(losses):+.2f} points")


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["3", "24", "12"][len(sys.argv) - 1 :])))
