"""A self-contained page, as a test reads it."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image


class Page(HTMLParser):
    """A page's text, what its elements refer to, its figures by their captions."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.html = file.read_text()
        self.referred: list[str] = []
        self.texts: list[str] = []
        self.feed(self.html)
        found = re.findall(r"<figcaption><b>(.*?)</b> (.*?)</figcaption>", self.html)
        self.captions = {name.replace(" ", "_"): caption for name, caption in found}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.referred += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def check_self_contained(page: Page) -> None:
    """Nothing is loaded from anywhere, and every picture inside can be read."""
    assert all(value.startswith(("data:image/webp;base64,", "#")) for value in page.referred)
    assert not re.search(r"https?://|@import|url\(", page.html)
    for value in page.referred:
        if value.startswith("data:"):
            with Image.open(io.BytesIO(base64.b64decode(value.partition(",")[2]))) as image:
                image.verify()
