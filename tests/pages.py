# SPDX-License-Identifier: GPL-3.0-or-later
"""The Markdown pages of the repository, for the tests that read or run them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "peekaboo_engine" / "assets").rglob("*.md"),
    ]
)


def name(path: Path) -> str:
    """A path as seen from the repository's root."""
    return path.relative_to(ROOT).as_posix()


def python_blocks(of_blender: bool) -> dict[str, str]:
    """The Python that the pages show, by page and line: what runs in Blender's Python, or in the engine's."""
    blocks = {}
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if bool(re.search(r"\bbpy\b", block[1])) == of_blender:
                blocks[f"{name(page)}:{text.count(chr(10), 0, block.start()) + 2}"] = block[1]
    return blocks
