"""Characters that the figures' own font lacks, such as Japanese ones, are drawn in other fonts of this machine."""

from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager, rcParams

OWN = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


def cover(text: str) -> None:
    """Have matplotlib draw each character in a font that has it."""
    for file in _others(text):
        name = font_manager.get_font(file).family_name
        if name not in rcParams["font.family"]:
            font_manager.fontManager.addfont(file)  # its own list may be older than the font
            rcParams["font.family"] = [*rcParams["font.family"], name]


def file(text: str) -> str:
    """The one font for a text where there can't be several."""
    return next(iter(_others(text)), OWN)


@cache
def _others(text: str) -> tuple[str, ...]:
    """Files which have, between them, what the own font lacks; none where nothing is lacking, or nobody has it."""
    lacking, found = {*map(ord, text)} - _characters(OWN), []
    for each in _installed() if lacking else ():
        if lacking & _characters(each):
            lacking -= _characters(each)
            found.append(each)
    return tuple(found)


@cache
def _installed() -> list[str]:
    return sorted(font_manager.findSystemFonts())


@cache
def _characters(file: str) -> frozenset[int]:
    try:
        font = font_manager.get_font(file)
        return frozenset(font.get_charmap() if font.scalable else ())  # matplotlib has no use for emoji made of pixels
    except (OSError, RuntimeError):  # no font after all, or of another kind
        return frozenset()
