"""`python -m sweeps plan|status|report|promote`: what a sweep would cost, where it stands, its figures, its winner."""

import argparse
from pathlib import Path

from pipeline.errors import PipelineError, one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sweeps", description=__doc__.partition(": ")[2])
    commands = parser.add_subparsers(dest="command", required=True, metavar="plan|status|report|promote")
    plan = commands.add_parser("plan", help="what `pipeline.train` with these words would run, without training")
    plan.add_argument("overrides", nargs="+", help="as for pipeline.train: model=cnn sweep=batch_size")
    status = commands.add_parser("status", help="all sweeps of a store, or one of them")
    status.add_argument("name", nargs="?")
    report = commands.add_parser("report", help="draw a sweep's figures and tables anew, in MLflow and in a folder")
    report.add_argument("name")
    promote = commands.add_parser(
        "promote", help="train the best configuration, look at the test split once, register the model as champion"
    )
    promote.add_argument("name")
    promote.add_argument("--seeds", type=int, default=1, help="train so many times: mean and spread on the test split")
    promote.add_argument("--train-val", action="store_true", help="train on the validation images too")
    promote.add_argument("--model", help="the registered model's name (default: the dataset's)")
    promote.add_argument("--again", action="store_true", help="even though the test split has been looked at before")
    for command in (status, report, promote):
        command.add_argument("--store", type=Path, default=Path("mlruns"), help="the tracking store (default: mlruns)")
        command.add_argument("--storage", help="the studies' URL, where a sweep had a sweep.storage of its own")
    arguments = parser.parse_args()
    if arguments.command == "promote" and arguments.seeds < 1:
        raise PipelineError(f"--seeds {arguments.seeds}: must be at least 1")

    from sweeps import commands, reload  # Optuna and its friends, only now

    if arguments.command == "plan":
        commands.plan(arguments.overrides)
        return
    store, name = arguments.store, arguments.name
    url = arguments.storage or reload.url_of(store)
    if arguments.command == "status":
        commands.status(url, name)
    elif arguments.command == "report":
        commands.report(store, url, name)
    else:
        from sweeps.promote import promote as promoted

        promoted(store, url, name, arguments.seeds, arguments.train_val, arguments.model, arguments.again)


if __name__ == "__main__":
    with one_line_errors():
        main()
