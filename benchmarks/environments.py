"""An environment for another program, on top of the one that runs this: TensorFlow and MLflow are there already."""

import subprocess
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path


def python(folder: Path, packages: Sequence[str]) -> Path:
    """The interpreter of an environment that has these packages, made where it isn't there yet.

    What is installed in it comes before what the running environment has: it gets the versions that are asked for, and
    shares all others. Raises CalledProcessError where pip fails.
    """
    interpreter, done = folder.absolute() / "bin" / "python", folder / "packages.txt"
    wanted = "\n".join(packages)
    if done.exists() and done.read_text() == wanted:
        return interpreter
    print(f"{folder}: installing {', '.join(packages)}", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    site = sysconfig.get_path("purelib", vars={"base": str(folder)})
    # a path alone: what the running environment has in editable mode, this project, isn't taken over
    (Path(site) / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *packages], check=True)
    done.write_text(wanted)
    return interpreter
