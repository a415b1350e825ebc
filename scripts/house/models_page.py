# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the tables of docs/guide/models.md from the catalogue: ``python scripts/house/models_page.py``."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

PAGE = ROOT / "docs" / "guide" / "models.md"
BEGIN = "<!-- made by scripts/house/models_page.py from peekaboo_engine/models.json -->\n"
END = "<!-- until here -->\n"


def tables() -> str:
    """The tables: what each model takes, and under which conditions and with what experience."""
    from peekaboo_engine.models import catalogue  # whose folder this script adds to the path

    models = catalogue()
    takes = ["| model | from | download (GB) | weights (GB): half / fp8 / offloaded | makes | starts from |"]
    knows = ["| model | licence | limits | control | tried |"]
    for lines in (takes, knows):
        lines.append("|" + "---|" * lines[0].count(" | ") + "---|")
    for name, entry in models.items():
        takes.append(
            _row(f"`{name}`", _source(entry), _download(entry), _weights(entry), _makes(entry), _start(entry))
        )
        knows.append(_row(f"`{name}`", _licence(entry), _limits(entry), _control(entry), entry.tried))
    return "\n".join(takes) + "\n\n" + "\n".join(knows) + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _source(entry) -> str:
    if entry.embedded:
        return f"`peekaboo_engine/{entry.source}`"
    names = [repository.name for repository in entry.repositories]
    return ", ".join(f"[{name}](https://huggingface.co/{name})" for name in names)


def _download(entry) -> str:
    return "none" if entry.embedded else f"up to {entry.download_gb:g}"


def _weights(entry) -> str:
    tiers = entry.weights_gb
    told = f"{tiers.bf16:g} / {tiers.fp8:g} / {tiers.offload:g}" if tiers else "not known"
    return told + (f"; a clip took {entry.measured_gb:g}" if entry.measured_gb else "")


def _makes(entry) -> str:
    size = f"{entry.width} x {entry.height}"
    if entry.num_frames == 1:
        return f"a picture of {size}"
    every = f" (1 + n x {entry.temporal_compression})" if entry.temporal_compression > 1 else ""
    rate = f", {entry.fps:g} a second" if entry.fps else ""
    steps = f"{entry.num_inference_steps} steps, guidance {entry.guidance_scale:g}"
    return f"{entry.num_frames}{every} frames of {size}{rate}; {steps}"


def _start(entry) -> str:
    if not entry.is_driven:
        return "**not in this version yet**"
    if entry.pipeline in entry.family.from_clip.values():
        return "a clip (`refine`)"
    starts = {"none": "text", "taken": "text, or a picture too", "needed": "text and a picture"}
    ends = {"none": "", "taken": "; may end with one", "needed": "; ends with one"}
    return starts[entry.first_frame] + ends[entry.last_frame]


def _licence(entry) -> str:
    return f"[{entry.licence}]({entry.licence_url})"


def _limits(entry) -> str:
    return " ".join(entry.limits) or "none known to us"


def _control(entry) -> str:
    if not entry.measured:
        return "untested"
    return f"[measured](../{Path(entry.measured).relative_to('docs').as_posix()})"


def text() -> str:
    """The page with its tables as they should be."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + "\n" + tables() + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
