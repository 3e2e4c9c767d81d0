"""The README and the pages of the docs, as their commands and examples are tried."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
EVERYTHING = "\n".join([README, *PAGES.values()])


def block(language, containing):
    """Return the one block of code in this language that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", EVERYTHING, re.S)
    (found,) = [text for text in blocks if containing in text]
    return found
