"""docs/BENCHMARKS.md: each benchmark writes its own section, between comments with its name, and leaves the others."""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.environment import describe

PAGE = Path(__file__).parents[1] / "docs" / "BENCHMARKS.md"
TITLE = "# Benchmarks\n\nEach section is written by the command that stands in it.\n"


def write_section(name: str, markdown: str) -> None:
    """Print it, and put it in the place of the section of this name; at the end of the page where there is none yet."""
    print(markdown)
    section = f"<!-- {name} -->\n{markdown.strip()}\n<!-- /{name} -->\n"
    page = PAGE.read_text() if PAGE.exists() else TITLE
    before, found, rest = page.partition(f"<!-- {name} -->\n")
    after = rest.partition(f"<!-- /{name} -->\n")[2]
    PAGE.write_text(before + section + after if found else f"{page}\n{section}")


def command() -> str:
    """This command as a reader gives it: files by their names alone, wherever they lie here."""
    words = [word if "path=" not in word else f"dataset.path={Path(word).name}" for word in sys.argv[1:]]
    return f"`{' '.join(('python', f'benchmarks/{Path(sys.argv[0]).name}', *words))}`"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean and standard deviation."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation}"


def machine() -> str:
    """What it was measured on, for the line below a table."""
    found = describe()
    return f"{found['processor']}, {found['cores']} cores, Python {found['python']}"
