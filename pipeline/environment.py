"""What a run is computed with: all that its numbers may depend on besides code, configuration and data."""

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline import device

PACKAGES = ("keras", "tensorflow", "jax", "jaxlib", "numpy", "scipy", "scikit-learn")
# Additions in another order round differently: with one thread or two, a network's numbers are not the same bits.
VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("TF_ENABLE_ONEDNN_OPTS", "KERAS_BACKEND", "PJRT_NPROC", "XLA_FLAGS"),
)


def describe() -> dict[str, Any]:
    """Plain JSON values. `variables` are those of VARIABLES that are set; `device` is CPU, or the names of the GPUs."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "platform": " ".join(filter(None, (platform.system(), platform.machine(), *platform.libc_ver()))),
        "processor": _processor(),
        "cores": _cores(),
        "device": ", ".join(device.gpus_in_use()) or "CPU",
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


@cache
def installed(package: str) -> str | None:
    """Its version, None where it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
