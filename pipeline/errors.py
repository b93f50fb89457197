"""What a person at the keyboard is told when a run cannot go on: one line, the value, what would be right."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from shlex import quote

from hydra import initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

CONF = Path(__file__).parents[1] / "conf"
GROUP_TAKES_NAMES = "Config group override must be"  # Hydra's ValueError for dropout=0.3
SEVERAL_VALUES = "Ambiguous value for argument"  # its for batch_size=32,64 outside of a sweep
FULL_ERROR = os.environ.get("HYDRA_FULL_ERROR") == "1"


class PipelineError(Exception):
    """Something the person can mend; the message is one line that names the value and what would be right."""


class DivergedError(PipelineError):
    """The loss is no longer a number."""


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# of an address: user:password@, a token@ of a web server's, ?password=
SECRET = re.compile(r"(?<=://)[^/\s@]*:\S*@|(?:(?<=http://)|(?<=https://))[^/\s]\S*@|(?<=[?&]password=)[^&\s]+")
MENDABLE = (PipelineError, HydraException, OmegaConfBaseException, OSError)


def first_line(error: BaseException) -> str:
    """The first line that says something of what was raised first, without Keras's bold type."""
    # joblib's and multiprocessing's _RemoteTraceback is no error, but another process's traceback as text
    while error.__cause__ is not None and not type(error.__cause__).__name__.endswith("RemoteTraceback"):
        error = error.__cause__
    lines = [line.strip() for line in re.sub(r"\x1b\[[\d;]*m", "", str(error)).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Exception encountered when calling")]
    return (telling or lines or [type(error).__name__])[0]


def without_secrets(text: str) -> str:
    """Addresses in it without user and password."""
    return SECRET.sub(lambda found: "***@" if found[0].endswith("@") else "***", text)


def explain(error: Exception) -> str:
    """One line for an error of Hydra's, OmegaConf's or the operating system's."""
    if isinstance(error, PipelineError):
        return str(error)
    if isinstance(error, MissingConfigException):
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        if options := error.options or _options(group):  # Hydra has none for one of a list
            return f"{group}={option}: no such option; {_closest(option, list(options))}"
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return f"{error.filename or 'input/output'}: {error.strerror or error}"
    if isinstance(error, OverrideParseException):
        key, equals, value = error.override.partition("=")
        example = quote(f"{key}={_quoted(value)}")  # the shell takes the outer ones away
        quoted = f", with a text in two pairs of quotes: {example}" if equals else ""
        return f"{error.override}: cannot be read; write key=value{quoted}"
    if str(error).startswith(SEVERAL_VALUES):
        hidden = _hidden_by_several_values()
        if hidden is not None:
            return explain(hidden)
        argument = str(error).partition("'")[2].partition("'")[0]
        return f"{argument}: several values are a sweep; add sweep=custom, or quote the value"
    if str(error).startswith(GROUP_TAKES_NAMES):
        for word in sys.argv[1:]:
            group, _, value = word.partition("=")
            if value in ("null", "true", "false") and (options := _options(group)):
                return f"{word}: no such option; {_closest(value, options)}"
        given = [word for word in sys.argv[1:] if re.fullmatch(r"\w+=[-+.\de]+", word)]
        named = f"{', '.join(given)}: " if given else ""
        return f"{named}a group takes the name of one of its options; a number goes to a key in it (dropout.rate=0.3)"
    for cause in chain(error):
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.parent_node is not None:
            options = [str(option) for option in cause.parent_node]
            return f"{cause.full_key or cause.key}: no such key; {_closest(str(cause.key), options)}"
    return str(error)


def _quoted(value: str) -> str:
    """As Hydra reads a text, or a list of texts."""
    if value.startswith("[") and value.endswith("]"):
        return f"[{','.join(_quoted(item.strip()) for item in value[1:-1].split(','))}]"
    inside = value.strip("\"'").replace('"', r"\"")
    return f'"{inside}"'


def _hidden_by_several_values() -> Exception | None:
    """Where another word is wrong, Hydra doesn't see that sweep=... asks for several runs, and minds their values."""
    given = get_args_parser().parse_known_args()[0].overrides
    if not any(word.startswith("sweep=") for word in given):
        return None
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            GlobalHydra.instance().hydra.compose_config("config", given, run_mode=RunMode.MULTIRUN)
        except Exception as error:
            return error
    return None


def _options(group: str) -> list[str]:
    return [file.stem for file in (CONF / group).glob("*.yaml")] if group else []


def _closest(word: str, options: list[str]) -> str:
    match = get_close_matches(word, options, n=1)
    return f"did you mean {match[0]}?" if match else "there are " + ", ".join(sorted(options))


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def refuse_unknown_flags() -> None:
    """argparse would print all of Hydra's usage first."""
    _, unknown = get_args_parser().parse_known_args()
    flags = [word for word in unknown if word.startswith("-")]
    if flags:
        raise PipelineError(f"{flags[0]}: no such flag; values are given as key=value, and --help lists both")


def _stop(signum: int, frame: object) -> None:
    """Once: what is being put in order now, an impatient second signal doesn't cut off."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + signum)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the process with one line on stderr and exit code 1 for what a person can mend.

    Ctrl-C, SIGTERM and a closed terminal end it with 130, 143 and 129. Anything else is a defect of the program and
    keeps its traceback, as everything does under HYDRA_FULL_ERROR=1.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on; without it, it prints several lines and exits
    for signum in SIGNALS:
        # not where nohup wants it ignored, nor where somebody decides already
        if signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(signum, _stop)
    try:
        yield
    except Exception as error:
        mendable = isinstance(error, MENDABLE) or str(error).startswith(GROUP_TAKES_NAMES)
        if FULL_ERROR or not mendable:
            raise
        sys.exit(f"error: {without_secrets(' '.join(explain(error).split()))}")
