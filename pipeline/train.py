"""The entry: `python -m pipeline.train model=cnn_dropout`."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pipeline.config import check, check_choices, check_single
from pipeline.errors import one_line_errors, refuse_unknown_flags
from pipeline.help import shown


@hydra.main(version_base="1.3", config_path=str(Path(__file__).parents[1] / "conf"), config_name="config")
def main(cfg: DictConfig) -> float | tuple[float, ...]:
    """One run of the composed configuration; returns its objective: what a sweep looks at."""
    with one_line_errors():
        check_choices(HydraConfig.get().runtime.choices)
        check_single(cfg)
        check(cfg)
        from pipeline.run import run  # heavy: nothing is imported to compose or to say no

        return run(cfg).objective(cfg.objective)


if __name__ == "__main__":
    with one_line_errors():
        refuse_unknown_flags()
        if not shown():
            main()
