# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the user guide's pictures of a real window: ``python scripts/house/guide_pictures.py [PICTURE...]``.

``$BLENDER`` plays the guide (``tests/blender/scenarios_guide.py``) with the embedded model, in the
environment of the engine: all of it, or the parts that show the pictures that are named. What each part has
shown is kept when a later one fails. Look at the pictures before they are committed: each version of one
stays in the history, so there are few, in few colours.
"""

import argparse
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "blender")]

PICTURES = ROOT / "docs" / "guide" / "ui"
COLORS, MOST_BYTES = (256, 160, 96), 150_000
"""As many as a file of so many bytes has room for."""
MODEL = {"TEST_MODEL": "shapes", "TEST_STEPS": "10"}
"""The embedded model, in fewer steps than its own: with software in the place of a graphics card, and the
window drawn meanwhile, they take long."""

PARTS = {
    "set_up": ("setting-up", "preferences"),
    "first": ("phrase", "generating", "strip"),
    "shots": ("motion", "shots"),
    "takes": ("in-camera", "takes"),
    "check": ("timed-phrases", "shot-check"),
    "model": ("model",),
    "files": ("import-layout", "export-masks", "farm-job"),
    "draft": ("draft",),
}
"""Scenarios, and the pictures of each; ``takes`` needs the clips that ``shots`` has left."""


def main() -> None:
    """Play what is wanted, part by part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = sorted(name for part in PARTS.values() for name in part)
    parser.add_argument("pictures", nargs="*", metavar="PICTURE", help=", ".join(names))
    parser.add_argument("--seconds", type=float, default=600, help="that a part may take (600)")
    parser.add_argument("--work", type=Path, help="folder that keeps the clips between calls")
    asked = parser.parse_args()
    if unknown := set(asked.pictures) - set(names):
        parser.error(f"no such picture: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    work = asked.work or Path(tempfile.gettempdir()) / "peekaboo-guide"
    window = importlib.import_module("window")  # of the tests
    installed = importlib.import_module("house.installed")
    with tempfile.TemporaryDirectory() as folder, window.display() as screen:
        profile = installed.install(Path(folder))
        for part, shown in PARTS.items():
            if wanted := [name for name in shown if not asked.pictures or name in asked.pictures]:
                shutil.rmtree(work / part, ignore_errors=True)
                play = window.Play(profile, screen, f"guide_{part}", work / part, **MODEL, **engine(part))
                print(part, play.facts(asked.seconds))
                for name in wanted:
                    keep(work / part / f"{name}.png")


def engine(part: str) -> dict[str, str]:
    """The variable that names the engine's Python; the set-up is seen where there is none."""
    python = importlib.import_module("house.environments").ENGINE.python
    return {"PEEKABOO_PYTHON": "" if part == "set_up" else os.fspath(python)}


def keep(path: Path) -> None:
    """Put a picture into the guide, in few colours."""
    kept = PICTURES / path.name
    for count in COLORS:
        # kmeans: without it what is small and bright turns grey
        picture = Image.open(path).convert("RGB").quantize(count, kmeans=2, dither=Image.Dither.NONE)
        picture.save(kept, optimize=True)
        if kept.stat().st_size <= MOST_BYTES:
            break
    print(f"{path.name}: {kept.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
