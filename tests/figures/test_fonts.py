"""Class names in a script that matplotlib's own font lacks."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from pipeline.figures import data, fonts
from pipeline.figures.confusion_image import confusion_image


def squares(file: Path, characters: str) -> None:
    """A font in which these characters are black squares, and nothing else is there."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 800), (800, 800), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(each): "square" for each in characters})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": file.stem, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(file)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    """Two fonts are all that this machine has."""
    found = {"お": tmp_path / "Kana.ttf", "字": tmp_path / "Kanji.ttf"}
    for characters, file in found.items():
        squares(file, characters)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [*map(str, found.values())])
    for function in (fonts._installed, fonts._others):
        function.cache_clear()
    with matplotlib.rc_context():
        yield found
    for function in (fonts._installed, fonts._others):
        function.cache_clear()


def missing(*names: str) -> list[str]:
    """What matplotlib says of characters for which it draws a box."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data.class_counts({"training": np.full(len(names), 5)}, names).savefig(io.BytesIO())
    return [str(each.message) for each in said if "missing from font" in str(each.message)]


def test_each_character_comes_from_a_font_that_has_it(installed: dict[str, Path]) -> None:
    assert missing("お", "字", "äß", "お字a") == []
    assert matplotlib.rcParams["font.family"] == ["sans-serif", "Kana", "Kanji"]


def test_what_no_font_has_is_a_box_and_costs_no_figure(installed: dict[str, Path]) -> None:
    assert len(missing("お", "ก")) >= 1
    assert matplotlib.rcParams["font.family"] == ["sans-serif", "Kana"]


def test_one_font_writes_a_whole_small_confusion_matrix(installed: dict[str, Path]) -> None:
    assert fonts.file("0123") == fonts.OWN
    assert fonts.file("お") == str(installed["お"])
    counts = np.eye(2, dtype=int)
    ink = [np.asarray(confusion_image(counts, names).convert("L")) for names in (("お", "お"), (" ", " "))]
    assert (ink[0] < 100).sum() > (ink[1] < 100).sum() + 4 * 10**2, "four squares more"
