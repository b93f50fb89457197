"""A person's own arrays: npz, Kaggle's CSV, IDX."""

import gzip
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.contracts import Split
from pipeline.datasets.source import Source
from pipeline.errors import PipelineError


def npz(path: str) -> Source:
    """Arrays x_train, y_train and, where there is a test split, x_test, y_test. Pickled arrays are refused."""
    if not zipfile.is_zipfile(Path(path).expanduser()):  # np.load would advise to load it unsafely
        raise PipelineError(f"{path}: is not a whole .npz file, which is a zip archive of arrays")
    try:
        with np.load(Path(path).expanduser(), allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, AttributeError, TypeError) as error:
        raise PipelineError(f"{path}: is not a whole .npz file ({error})") from error
    missing = {"x_train", "y_train"} - arrays.keys()
    if missing:
        raise PipelineError(f"{path}: has no array {min(missing)}; found {', '.join(sorted(arrays)) or 'nothing'}")
    test = Split(arrays["x_test"], arrays["y_test"]) if {"x_test", "y_test"} <= arrays.keys() else None
    return Source(path, arrays["x_train"], arrays["y_train"], test)


def csv(path: str, test_path: str | None = None, shape: Sequence[int] | None = None) -> Source:
    """Kaggle's layout: a row is a label, then height * width * channels pixels; a header is optional."""
    images, labels = _csv(path, shape)
    return Source(path, images, labels, Split(*_csv(test_path, shape)) if test_path is not None else None)


def _csv(path: str, shape: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    file = Path(path).expanduser()
    try:
        with (
            gzip.open(file, "rt", encoding="utf-8-sig")
            if file.suffix == ".gz"
            else file.open(encoding="utf-8-sig") as text
        ):
            lines = [line for line in text if line.strip()]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: is not a whole text file ({error})") from error
    header = bool(lines) and "," in lines[0] and _is_header(lines[0].split(","))
    if len(lines) <= header:
        raise PipelineError(f"{path}: has no rows")
    try:
        table = np.loadtxt(lines[header:], delimiter=",", dtype=np.float32, ndmin=2)
    except ValueError as error:
        where = "rows count from 0, after the header" if header else "rows count from 0"
        reason = str(error).splitlines()[0].split("; use")[0].rstrip(".")  # its cause has no row
        raise PipelineError(f"{path}: {reason} ({where}; fields are parted by commas)") from error
    pixels, labels = table[:, 1:], table[:, 0]
    side = math.isqrt(pixels.shape[1])
    shape = tuple(shape) if shape is not None else (side, side, 1)
    if pixels.shape[1] == 0 or math.prod(shape) != pixels.shape[1]:
        raise PipelineError(
            f"{path}: {pixels.shape[1]} pixels a row do not make an image of {'x'.join(map(str, shape))}; "
            "give dataset.shape=[height,width,channels]"
        )
    return whole(pixels).reshape(-1, *shape), labels


def whole(pixels: np.ndarray) -> np.ndarray:
    """As whole numbers, where they are."""
    return pixels.astype(np.int64) if np.isfinite(pixels).all() and (pixels == np.rint(pixels)).all() else pixels


def _is_header(fields: Sequence[str]) -> bool:
    """Also label,0,1,2,... as pandas writes it; x0,1,2,... is a damaged row."""
    return not any(map(_is_number, fields)) or not (_is_number(fields[0]) or re.search(r"\d", fields[0]))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def idx(path: str) -> Source:
    """The four IDX files of MNIST (format: LeCun's MNIST page) in one folder, gzipped or not."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise PipelineError(f"{path}: must be the folder with the IDX files train-images-idx3-ubyte and so on")
    arrays = [
        _idx(_find(folder, f"{part}-{kind}"), dimensions)
        for part in ("train", "t10k")
        for kind, dimensions in (("images-idx3-ubyte", 3), ("labels-idx1-ubyte", 1))
    ]
    return Source(path, arrays[0], arrays[1], Split(arrays[2], arrays[3]))


def _find(folder: Path, name: str) -> Path:
    for candidate in (name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    raise PipelineError(f"{folder}: has no file {name} or {name}.gz")


def _idx(path: Path, dimensions: int) -> np.ndarray:
    """Magic number 0, 0, type (8: unsigned byte), number of dimensions; the sizes, big-endian; the bytes."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise PipelineError(f"{path}: is not a whole gzip file ({error})") from error
    magic = content[:4]
    if magic != bytes((0, 0, 8, dimensions)):
        right = bytes((0, 0, 8, dimensions)).hex()
        raise PipelineError(f"{path}: magic number {magic.hex() or 'missing'}; must be {right}")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise PipelineError(f"{path}: ends after {len(content)} bytes, inside the header")
    sizes = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(sizes):
        raise PipelineError(
            f"{path}: holds {len(content) - header} bytes of data; its header promises {math.prod(sizes)}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(sizes)
