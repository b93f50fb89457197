"""Learning curves."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from pipeline.contracts import History
from pipeline.figures.style import FAINT, INK, TRAINING, VALIDATION, blank


def learning_curves(history: History) -> Figure:
    """Accuracy and loss by epoch, training and validation, the best epoch marked."""
    best = history.best_epoch
    figure = blank(
        10,
        4.2,
        "Learning curves",
        f"best validation accuracy {history.best_val_accuracy:.4f} at epoch {best} of {len(history.epochs)}. "
        "Training values are means over the epoch, while the weights change; validation is measured at its end.",
    )
    accuracy, loss = figure.subplots(1, 2)
    _panel(accuracy, history, "accuracy")
    _panel(loss, history, "loss")
    settled = history.epochs[len(history.epochs) // 10 :]  # the first steps would squeeze all that follows
    lowest = min(metrics[f"{split}_accuracy"] for metrics in settled for split in ("train", "val"))
    room = max(1 - lowest, 0.01)
    accuracy.set_ylim(max(0.0, lowest - 0.1 * room), 1 + 0.03 * room)
    if all(metrics[f"{split}_loss"] > 0 for metrics in history.epochs for split in ("train", "val")):
        loss.set_yscale("log")
        loss.yaxis.set_major_locator(LogLocator(subs=[1, 2, 5]))
        loss.yaxis.set_major_formatter("{x:g}")
        loss.yaxis.set_minor_locator(NullLocator())
    accuracy.legend(loc="lower right", frameon=False, fontsize=9)
    return figure


def _panel(axes: Axes, history: History, quantity: str) -> None:
    epochs = range(1, len(history.epochs) + 1)
    marker = "o" if len(epochs) < 3 else None
    for split, label, color in (("train", "training", TRAINING), ("val", "validation", VALIDATION)):
        values = [metrics[f"{split}_{quantity}"] for metrics in history.epochs]
        axes.plot(epochs, values, color=color, linewidth=1.8, label=label, marker=marker)
        if split == "val":
            axes.plot(history.best_epoch, values[history.best_epoch - 1], "o", color=color, markersize=6)
    axes.axvline(history.best_epoch, color=FAINT, linewidth=0.9, linestyle=":", zorder=0)
    axes.set_xlim(0.5, len(epochs) + 0.5)
    axes.set_xlabel("epoch", color=INK)
    axes.set_ylabel(quantity, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
