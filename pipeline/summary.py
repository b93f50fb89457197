"""The first and the last lines on the screen."""

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from pipeline.contracts import Dataset, Outcome


def announce(cfg: DictConfig, dataset: Dataset, weights: int) -> None:
    """What is about to be trained on what."""
    sizes = " / ".join(f"{len(split):,}" for split in (dataset.train, dataset.val, dataset.test))
    height, width, channels = dataset.image_shape
    model = f"{cfg.model.name} with {weights:,} weights" if weights else cfg.model.name
    print(f"{model} on {dataset.name}: {sizes} images of {height}x{width}x{channels}", flush=True)


def show(dataset: Dataset, outcome: Outcome, opened_by: str | None) -> None:
    """A small table, the pairs of classes that were most confused, and how to look at the run."""
    history, test = outcome.history, outcome.test
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    best = f"best {history.best_val_accuracy:.4f} at epoch {history.best_epoch}"
    table.add_row("validation accuracy", f"{outcome.validation.accuracy:.4f}", best)
    if test is not None:
        table.add_row("test accuracy", f"{test.accuracy:.4f}", f"{int(test.confusion.sum()):,} images")
    fitted = outcome.totals["train_images"]
    if fitted < len(dataset.train):
        table.add_row("fitted to", f"{fitted:,}", f"of {len(dataset.train):,} training images (model.fit_limit)")
    table.add_row("weights", f"{outcome.totals['weights']:,.0f}", "")
    table.add_row("training", f"{history.seconds:.1f} s", f"{history.images_per_second:,.0f} images/s")
    Console(highlight=False).print(table)
    names = dataset.class_names
    pairs = [f"{names[i]} and {names[j]} ({count})" for i, j, count in (test or outcome.validation).most_confused(3)]
    print(f"most confused: {', '.join(pairs) or 'none'}")
    if opened_by is not None:
        print(f"look at it:    {opened_by}", flush=True)
