"""Self-contained HTML pages: the Jinja2 templates in this folder, with their pictures inside."""

import base64
import io

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

_templates = Environment(
    loader=PackageLoader("pipeline", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: object) -> str:
    """A page as text. Raises jinja2.UndefinedError for a value that the template names and nobody gave."""
    return _templates.get_template(template).render(**values)


def picture(figure: Figure) -> Markup:
    """A figure as a data URI: lossless WebP, which is a third of the PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", pil_kwargs={"lossless": True, "method": 4})
    return Markup(f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}")
