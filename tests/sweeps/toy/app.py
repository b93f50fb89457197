import json
import os
import random
import signal
import time
from pathlib import Path

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from pipeline.errors import DivergedError


def say(event: str, cfg: DictConfig) -> None:
    """One line in a file that all processes share: who did what, and when."""
    line = {
        "event": event,
        "x": cfg.x,
        "y": cfg.y,
        "seed": cfg.seed,
        "seconds": cfg.seconds,
        "process": os.getpid(),
        "at": time.time(),
    }
    with Path("events.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg: DictConfig) -> float | None:
    say("start", cfg)
    noise = random.Random(f"{cfg.x} {cfg.seed}").random() / 1000
    observers = [instantiate(node) for node in cfg.observers]
    accuracy = 0.0
    for epoch in range(1, cfg.epochs + 1):
        time.sleep(cfg.seconds)
        if cfg.goes_wrong and epoch == cfg.epochs:
            go_wrong(cfg.goes_wrong)
        accuracy = epoch / cfg.epochs * (1 - (cfg.x - 0.3) ** 2 - noise)
        answers = [observer(epoch, {"val_accuracy": accuracy}) for observer in observers]
        if any(answers):
            break
    say("end", cfg)
    return float("nan") if cfg.goes_wrong == "not_a_number" else None if cfg.goes_wrong == "nothing" else accuracy


def go_wrong(how: str) -> None:
    if how == "error":
        raise RuntimeError("it went wrong\nin several lines")
    if how == "diverged":
        raise DivergedError("the training loss became nan in epoch 3")
    if how == "memory":
        raise MemoryError("a tensor too many")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
