"""Train what a stored configuration says, on the data that it was trained on: the child process of pipeline.reproduce.

Started as a file, with PYTHONPATH naming the code that trains. That may be another commit's, hence only names that
every commit has: datasets.load, run.run, errors.
"""

import sys
from pathlib import Path

from omegaconf import OmegaConf

from pipeline.errors import PipelineError, one_line_errors


def main(config: str, sha256: str, run_id: str) -> None:
    """config: a file; run_id: the file that takes the new run's. Raises PipelineError where the data is another."""
    from pipeline import datasets

    cfg = OmegaConf.load(config)
    dataset = datasets.load(cfg.dataset)
    if dataset.sha256 != sha256:
        reproduced = cfg.tracking.tags.reproduces
        raise PipelineError(f"{dataset.name}: the data is not what run {reproduced} was trained on; its hash differs")
    from pipeline.run import run

    Path(run_id).write_text(run(cfg).run_id)


if __name__ == "__main__":
    with one_line_errors():
        main(*sys.argv[1:])
