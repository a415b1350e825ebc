# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how far a take is seen from the colours of its clip, under the colour management of its scene.

    python scripts/measure/measure_colors.py [--out docs/reference/colors.json] [--keep FOLDER]

$BLENDER (or one on the PATH) shows one clip in a window under each case: in the sequencer's preview, as F12
writes the sequencer, and in the camera's view (*In Camera View*, opaque). Each is held against the clip as
ffmpeg decodes it. The clip has all hues from black over the pure ones to white, greys, and flat fields: many
more pure colours than a picture of the world.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests" / "blender")]

from house import installed  # noqa: E402
from house.environments import ENGINE, CommandError, run_main  # noqa: E402
from house.find_blender import find_blender  # noqa: E402

from peekaboo_engine.video import read_clip, write_clip  # noqa: E402

window = importlib.import_module("window")  # of the tests

WIDTH, HEIGHT, FRAME = 540, 300, 2
FIELDS = (
    *((255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)),
    *((200, 60, 50), (30, 90, 50), (230, 200, 180), (128, 128, 128)),
)
PURE = 6
"""Colours of the flat fields: so many pure ones, and those of a ball, grass, skin and a wall."""


def case(takes_in="scene", cycles=None, device=None, **view) -> list:
    """Where takes are, and attributes of the scene's colour management."""
    owners = {
        "display_settings": {"display_device": device} if device else None,
        "view_settings": view,
        "cycles": cycles,
    }
    return [takes_in, {owner: values for owner, values in owners.items() if values}]


CASES = {
    "a scene of their own, beside AgX": case("own", view_transform="AgX", exposure=1.0),
    "Standard": case(),
    "AgX": case(view_transform="AgX"),
    "Filmic": case(view_transform="Filmic"),
    "Khronos PBR Neutral": case(view_transform="Khronos PBR Neutral"),
    "AgX, film exposure 4": case(view_transform="AgX", cycles={"film_exposure": 4.0}),
    "AgX, Base Contrast": case(view_transform="AgX", look="AgX - Base Contrast"),
    "AgX, Punchy": case(view_transform="AgX", look="AgX - Punchy"),
    "AgX, exposure 1": case(view_transform="AgX", exposure=1.0),
    "Standard, exposure 1": case(exposure=1.0),
    "Standard, gamma 1.5": case(gamma=1.5),
    "Filmic Log": case(view_transform="Filmic Log"),
    "ACES 2.0": case(view_transform="ACES 2.0"),
    "Raw": case(view_transform="Raw"),
    "Display P3, Standard": case(device="Display P3"),
    "Display P3, AgX": case(device="Display P3", view_transform="AgX"),
    "Rec.1886, Standard": case(device="Rec.1886"),
    "Rec.2020, Standard": case(device="Rec.2020"),
    "Rec.2100-PQ, Standard": case(device="Rec.2100-PQ"),
}


def picture() -> np.ndarray:
    """What the clip shows: uint8 (HEIGHT, WIDTH, 3), sRGB."""
    across, down = np.meshgrid((np.arange(WIDTH) + 0.5) / WIDTH, (np.arange(180) + 0.5) / 90)
    hues = 0.5 + 0.5 * np.cos(2 * np.pi * (across[..., None] - np.array([0, 1 / 3, 2 / 3])))
    down = down[..., None]
    ramps = np.where(down < 1, hues * down, hues + (1 - hues) * (down - 1))
    greys = np.broadcast_to(across[:30, :, None], (30, WIDTH, 3))
    fields = np.repeat(np.array(FIELDS) / 255, WIDTH // len(FIELDS), axis=0)
    made = np.concatenate([ramps, greys, np.broadcast_to(fields, (90, WIDTH, 3))])
    return np.round(made * 255).astype(np.uint8)


def measure(profile, screen: str, out: Path, names=tuple(CASES), model: str = "shapes") -> dict:
    """Mean absolute difference of each channel, 0..255, by case and place; also what Peekaboo says of it.

    Args:
        profile: a Blender with the extension.
        screen: name of the display.
        out: folder for the clip and the pictures.
        names: of the cases.
        model: that the take's job names.
    """
    out.mkdir(parents=True)
    still = picture()
    write_clip(out / "clip.mp4", np.stack([still] * 4), np.arange(8) // 2, Fraction(24))
    clip = read_clip(out / "clip.mp4")[FRAME].astype(float)
    cases = json.dumps([[name, *CASES[name]] for name in names])
    settings = {"TEST_CLIP": str(out / "clip.mp4"), "TEST_CASES": cases, "TEST_MODEL": model}
    settings |= {"TEST_STEPS": "1", "PEEKABOO_PYTHON": str(ENGINE.python)}
    play = window.Play(profile, screen, "colors", out / "seen", **settings)
    try:
        found = play.facts(500)
    finally:
        play.kill()
    figures = {}
    for name, facts in found.items():
        seen = {"F12": np.asarray(Image.open(out / "seen" / f"{name} F12.png").convert("RGB"))}
        for place in ("sequencer", "camera"):
            left, top, width, height = facts[place]
            whole = Image.open(out / "seen" / f"{name} {place}.png").convert("RGB")
            box = (left, top, left + width, top + height)
            seen[place] = np.asarray(whole.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box))
        far = {place: difference(pixels.astype(float), clip) for place, pixels in seen.items()}
        figures[name] = {"space": facts["space"], "told": facts["altered"], **far}
    return figures


def difference(seen: np.ndarray, clip: np.ndarray) -> dict:
    """How far two pictures are from each other; borders of fields count for nothing.

    Of the ramps, the greys and all fields together; of the fields of no pure colour alone; and the most.
    """
    inner = np.zeros((HEIGHT, WIDTH), bool)
    inner[4:86] = inner[94:176] = inner[184:206] = True
    inner[:, :4] = inner[:, -4:] = False
    step = WIDTH // len(FIELDS)
    usual = np.zeros_like(inner)
    for index in range(len(FIELDS)):
        field = np.s_[214:-4, index * step + 4 : (index + 1) * step - 4]
        inner[field] = True
        usual[field] = index >= PURE
    far = np.abs(seen - clip)
    return {
        "mean": np.round(far[inner].mean(axis=0), 1).tolist(),
        "usual": np.round(far[usual].mean(axis=0), 1).tolist(),
        "most": int(far[inner].max()),
    }


def main() -> int:
    """Measure, print the figures, and write them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    parser.add_argument("--keep", type=Path, help="new folder that keeps the pictures")
    asked = parser.parse_args()
    blender = find_blender()
    if blender is None:
        raise CommandError("There is no Blender here: set BLENDER to one, or put it on the PATH.")
    os.environ["BLENDER"] = blender.path
    if reason := window.missing():
        raise CommandError(f"There is no display: this {reason}.")
    with tempfile.TemporaryDirectory() as folder, window.display() as screen:
        profile = installed.install(Path(folder))
        figures = measure(profile, screen, asked.keep or Path(folder) / "kept")
    for name, facts in figures.items():
        means = "  ".join(f"{place} {facts[place]['mean']}" for place in ("sequencer", "F12", "camera"))
        print(f"{name:34} {means}  {'; '.join(facts['told'])}")
    if asked.out:
        lines = [f"{json.dumps(name)}: {json.dumps(facts)}" for name, facts in figures.items()]
        version = ".".join(map(str, blender.version))
        stated = f'{{"blender": "{version}",\n"cases": {{\n' + ",\n".join(lines) + "}}\n"
        asked.out.write_text(stated, encoding="utf-8")
    return 0


if __name__ == "__main__":
    run_main(main)
