"""Self-contained HTML pages: the Jinja2 templates in this folder, with their pictures inside."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from PIL import Image

OTHER = "other"  # the section of figures that nobody has captioned


def render(template: str, package: str = "pipeline", **values: object) -> str:
    """A page as text, of a template in the package's folder `pages`; it may extend and import those in this one.

    Raises jinja2.UndefinedError for a value that the template names and nobody gave.
    """
    return _templates(package).get_template(template).render(**values)


@cache
def _templates(package: str) -> Environment:
    return Environment(
        loader=ChoiceLoader([PackageLoader(each, "pages") for each in dict.fromkeys((package, "pipeline"))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@dataclass(frozen=True)
class Picture:
    """A figure on a page. caption: how to read it."""

    name: str
    caption: str
    width: int
    height: int
    source: Markup


def captioned(files: Iterable[tuple[str, bytes]], captions: Path) -> dict[str, list[Picture]]:
    """Section -> pictures, in the order of the captions' file: section -> name, or how names begin -> caption.

    files: (name, PNG). What has no caption comes last, as the section OTHER.
    """
    sections = OmegaConf.load(captions)
    places = {name: (section, text) for section, names in sections.items() for name, text in names.items()}
    order = [*places, None]
    found = [(_place(name := file.removesuffix(".png"), places), name, png) for file, png in files]
    shown: dict[str, list[Picture]] = {section: [] for section in (*sections, OTHER)}
    for place, name, png in sorted(found, key=lambda each: order.index(each[0])):
        section, caption = places.get(place, (OTHER, ""))
        with Image.open(io.BytesIO(png)) as image:
            words = name.replace("_", " ")
            shown[section].append(Picture(words, caption, *image.size, data_uri(image.convert("RGB"))))
    return shown


def _place(name: str, places: Iterable[str]) -> str | None:
    """kernels_before_after_conv1 is one of kernels_before_after, not of kernels."""
    return max((each for each in places if f"{name}_".startswith(f"{each}_")), key=len, default=None)


def picture(figure: Figure) -> Markup:
    """A figure as a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return data_uri(Image.open(buffer).convert("RGB"))


def data_uri(image: Image.Image) -> Markup:
    """Lossless WebP, half of the PNG. More effort would save another quarter and take three times as long."""
    buffer = io.BytesIO()
    image.save(buffer, "webp", lossless=True, quality=0, method=2)
    return Markup(f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}")
