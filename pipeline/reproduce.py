"""A run, trained again and compared: `python -m pipeline.reproduce <run>`."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from pipeline.errors import PipelineError, one_line_errors
from pipeline.stored_runs import add_options, given

if TYPE_CHECKING:
    from pipeline.agreement import Agreement
    from pipeline.tracking.stored import StoredRun

CHILD = Path(__file__).with_name("retrain.py")
SECONDS_TO_END = 60  # for a training that was told to


@dataclass(frozen=True)
class Recipe:
    """All that a finished run says of how it was made. environment is empty where the run is older than that."""

    run_id: str
    cfg: DictConfig
    sha256: str
    commit: str | None
    diff: bytes
    environment: Mapping[str, Any]


def main() -> None:
    """Exit code 0 where the run came out again, 1 where it did not or could not be trained."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.reproduce",
        description="Train a run again, with its own code, as a new run, and compare.",
        epilog="With the same code, versions and processor the numbers must be the same, bit for bit; else, and on a "
        "GPU, the accuracies of all epochs and the share of images with another class must lie within the tolerance.",
    )
    parser.add_argument("run", help="id of the run, the beginning of it, or its name")
    parser.add_argument(
        "overrides",
        nargs="*",
        help="dataset.path=... where the data lies elsewhere now; device=... where that is another",
    )
    parser.add_argument("--here", action="store_true", help="with the code as it is here, whatever the run's was")
    parser.add_argument(
        "--tolerance",
        type=float,
        help="what may differ; 0 asks for the same bits (default: 0 where that can be expected, else 0.01, which lies "
        "between another rounding and another seed)",
    )
    add_options(parser)
    chosen = parser.parse_intermixed_args()
    with one_line_errors():
        changes = given(chosen.overrides, "device")
        if chosen.tolerance is not None and not 0 <= chosen.tolerance < 1:
            raise PipelineError(f"--tolerance {chosen.tolerance}: must be at least 0 and below 1")
        sys.exit(not reproduce(chosen.run, changes, chosen.here, chosen.tolerance, chosen.store, chosen.uri))


def reproduce(
    word: str, changes: Mapping[str, str], here: bool, tolerance: float | None, store: str, uri: str | None
) -> bool:
    """Did it come out again? Raises PipelineError where the run, its code or its data can't be had."""
    from pipeline.tracking.stored import find_runs, open_run

    folder = Path.cwd()
    with open_run(word, store, uri) as stored:
        recipe = _recipe(stored, folder, changes, store, uri)
    with _code(recipe, here) as code:
        again = _train(recipe, code)
    from pipeline.agreement import compare  # with all that figures need: not before the training has gone well

    with find_runs([recipe.run_id, again], store, uri) as (original, repetition):
        agreement = compare(original, repetition)
        return _show(agreement, agreement.tolerance if tolerance is None else tolerance, recipe.run_id, again)


def _recipe(stored: "StoredRun", folder: Path, changes: Mapping[str, str], store: str, uri: str | None) -> Recipe:
    from pipeline.reload import find_files
    from pipeline.tracking.git import UNCOMMITTED

    if "predictions_val.npz" not in stored.artifacts:
        raise PipelineError(f"{stored.run_id}: has no stored predictions; there is nothing to compare with")
    cfg, tags = stored.config, stored.run.data.tags
    find_files(cfg, folder, changes)
    cfg.device = changes.get("device", cfg.device)
    cfg.observers = []
    cfg.tracking = {
        "name": "mlflow",
        "store": store,
        "uri": uri,
        "run_name": f"{stored.name} again",
        "tags": {"reproduces": stored.run_id},  # and not those that would make it a trial of a sweep
    }
    return Recipe(
        run_id=stored.run_id,
        cfg=cfg,
        sha256=tags["dataset_sha256"],
        commit=tags.get("git_commit"),
        diff=stored.read(UNCOMMITTED) or b"",
        environment=stored.json("environment.json") or {},
    )


def _code(recipe: Recipe, here: bool) -> AbstractContextManager[Path]:
    """Where the code that trained the run is: here, or in a worktree for the length of the block."""
    from pipeline.tracking import git

    if here:
        return nullcontext(git.ROOT)
    if recipe.commit is None:
        raise PipelineError(f"{recipe.run_id}: does not say which commit it was; --here trains with the present code")
    if (recipe.commit, recipe.diff) == (git.commit(), git.uncommitted()):
        return nullcontext(git.ROOT)
    changes = " and its uncommitted changes" if recipe.diff else ""
    print(f"with the code of commit {recipe.commit[:8]}{changes}, in a temporary worktree", flush=True)
    return git.worktree(recipe.commit, recipe.diff)


def _train(recipe: Recipe, code: Path) -> str:
    """The id of the new run. Ends the process where the training does; what went wrong is on the screen already."""
    with tempfile.TemporaryDirectory(prefix="sweepline-") as folder:
        config, answer = Path(folder) / "config.yaml", Path(folder) / "run_id"
        config.write_text(OmegaConf.to_yaml(recipe.cfg))
        status = _wait(
            subprocess.Popen(
                [sys.executable, "-P", str(CHILD), str(config), recipe.sha256, str(answer)],
                env=_variables(recipe, code),
                start_new_session=True,  # Ctrl-C is for this process, which hands it on once
            )
        )
        if status < 0:
            raise PipelineError(f"{recipe.run_id}: the training was ended by {signal.Signals(-status).name}")
        if status:
            sys.exit(1)
        return answer.read_text()


def _variables(recipe: Recipe, code: Path) -> dict[str, str]:
    """Those of this process, with the run's own threads, and a CPU where it had one."""
    from pipeline.environment import VARIABLES

    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(code), *filter(None, [os.getenv("PYTHONPATH")])])}
    if recipe.environment:
        variables = {name: value for name, value in variables.items() if name not in VARIABLES}
        variables |= recipe.environment["variables"]
        variables |= {"CUDA_VISIBLE_DEVICES": "-1"} if recipe.environment["device"] == "CPU" else {}
    return variables


def _wait(process: subprocess.Popen) -> int:
    """Its exit status. Who is ended by a signal meanwhile ends the process too, whose run is then KILLED."""
    try:
        return process.wait()
    finally:
        process.terminate()
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _show(agreement: "Agreement", tolerance: float, original: str, again: str) -> bool:
    """The table and the answer."""
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_column(style="dim", overflow="fold")
    for cause in agreement.causes:
        table.add_row(cause.what, {True: "same", False: "differs", None: "not known"}[cause.same], cause.detail)
    table.add_section()
    for effect in agreement.effects:
        within = f"within {tolerance:g}" if effect.within(tolerance) else "differs"
        table.add_row(effect.what, "bit for bit" if effect.exact else within, effect.detail)
    Console(highlight=False).print(table)
    reproduced = all(effect.within(tolerance) for effect in agreement.effects)
    how = "bit for bit" if agreement.exact else f"within {tolerance:g}"
    print(f"{f'reproduced {how}' if reproduced else 'not reproduced'}: {original} by {again}")
    return reproduced


if __name__ == "__main__":
    main()
