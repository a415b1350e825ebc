# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the user guide's pictures of a real window: ``python scripts/house/guide_pictures.py [SECONDS]``.

``$BLENDER`` plays the scene of three shots (``tests/blender/scenarios_guide.py``) with the embedded model, in
the environment of the engine. Look at the pictures before they are committed: each version of one stays in
the history, so there are few, in few colours.
"""

import importlib
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "blender")]

PICTURES = ROOT / "docs" / "guide" / "ui"
COLORS = 256
MODEL = {"TEST_MODEL": "shapes", "TEST_STEPS": "6"}
"""The embedded model, in fewer steps than its own: with software in the place of a graphics card, and the
window drawn meanwhile, they take long."""


def main(seconds: float) -> None:
    """Play the scenario within so many seconds, and keep what it shows."""
    window = importlib.import_module("window")  # of the tests
    installed = importlib.import_module("house.installed")
    python = importlib.import_module("house.environments").ENGINE.python
    with tempfile.TemporaryDirectory() as folder, window.display() as screen:
        profile = installed.install(Path(folder))
        out = Path(folder) / "guide"
        play = window.Play(profile, screen, "guide", out, PEEKABOO_PYTHON=str(python), **MODEL)
        facts = play.facts(seconds)
        for path in sorted(out.glob("*.png")):
            # kmeans: without it what is small and bright turns grey
            picture = Image.open(path).convert("RGB").quantize(COLORS, kmeans=2, dither=Image.Dither.NONE)
            picture.save(PICTURES / path.name, optimize=True)
            print(f"{path.name}: {(PICTURES / path.name).stat().st_size / 1000:.0f} kB")
    print(facts)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 900)
