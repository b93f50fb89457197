"""What --help says. Hydra's own copies all of its configuration for each look at a group, which takes as long again."""

from string import Template

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from pipeline.config import CONF


def shown() -> bool:
    """Print the help, if the command line asks for that; beside other flags it is left to Hydra."""
    given = get_args_parser().parse_args()
    plain = get_args_parser().parse_args(["--help", *given.overrides])
    if given != plain:
        return False
    print(text(given.overrides))
    return True


def text(overrides: list[str]) -> str:
    """The template hydra.help, filled with the groups of conf/ and the values that these words compose."""
    with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
        cfg = compose("config", overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    folders = sorted(folder for folder in CONF.iterdir() if folder.is_dir())
    groups = {folder.name: ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) for folder in folders}
    return Template(cfg.hydra.help.template).substitute(
        APP_CONFIG_GROUPS="".join(f"{group}: {options}\n" for group, options in groups.items()),
        CONFIG=OmegaConf.to_yaml(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])),
    )
