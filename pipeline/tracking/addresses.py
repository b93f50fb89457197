"""Where in MLflow's UI something stands."""

from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.errors import PipelineError
from pipeline.tracking import views
from pipeline.tracking.stored import SHORT, matching, reading, search


def pages(store: str, word: str | None) -> list[tuple[str, str]]:
    """(title, path), the one to open first: of a run, of a sweep, or of the experiment with the latest run.

    All views are brought up to date. Raises PipelineError where there is no such run, or several.
    """
    with reading(store, None) as client:
        _bring_up_to_date(client)
        if word is None:
            latest = search(client, "tags.kind = 'run'", 1)
            return _views(latest[0], views.of_experiment()) if latest else [("experiments", "/experiments")]
        run = _one(matching(client, word, store), word)
        if run.data.tags.get("kind") == "sweep":
            return _views(run, views.of_sweep(run))
        return [(run.info.run_name, f"{_experiment(run)}/runs/{run.info.run_id}?{views.MACHINE_LEARNING}")]


def _one(found: list[Run], word: str) -> Run:
    """A sweep comes before runs that have its name."""
    found = [run for run in found if run.data.tags.get("kind") == "sweep"] or found
    if len(found) > 1:
        ids = ", ".join(run.info.run_id[:SHORT] for run in found[:5])
        raise PipelineError(f"{word}: there are {len(found)} of them; take one by its id: {ids}")
    return found[0]


def _bring_up_to_date(client: MlflowClient) -> None:
    """The views of every experiment that runs were logged to, and of every sweep."""
    sweeps = search(client, "tags.kind = 'sweep'")
    for experiment in client.search_experiments():
        here = [run for run in sweeps if run.info.experiment_id == experiment.experiment_id]
        if here or client.search_runs([experiment.experiment_id], "tags.kind = 'run'", max_results=1):
            own = views.of_experiment()
            views.prepare(client, experiment, [*own, *(view for run in here for view in views.of_sweep(run))])


def _views(run: Run, wanted: list[views.View]) -> list[tuple[str, str]]:
    return [(view.name, f"{_experiment(run)}/{view.path}") for view in wanted]


def _experiment(run: Run) -> str:
    return f"/experiments/{run.info.experiment_id}"
