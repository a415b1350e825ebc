# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo shows, as data: read by Blender's Python, the engine's, and the one that starts both.

World units are metres, z is up, and the camera looks along +y: the ball rolls from left to right near the
camera, the cube slides from right to left behind it, and meanwhile the camera moves along and closer.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float, float]

PROMPT = "a red ball and a blue cube on grass"
SEED = 0

FRAME_START, FRAME_END, FPS = 1, 48, 24
RESOLUTION = (1280, 720)


@dataclass(frozen=True)
class DemoSubject:
    """A keyframed empty: how it looks, what it stands for, and where it is at which scene frame."""

    name: str
    phrase: str
    display_type: str
    display_size: float
    color: tuple[float, float, float]
    path: tuple[tuple[int, Point], ...]


SUBJECTS = (
    DemoSubject(
        name="Ball",
        phrase="a red ball",
        display_type="SPHERE",
        display_size=0.9,
        color=(1.0, 0.75, 0.1),
        path=((1, (-2.0, -0.6, 0.9)), (48, (2.1, -0.2, 0.9))),
    ),
    DemoSubject(
        name="Cube",
        phrase="a blue cube",
        display_type="CUBE",
        display_size=0.95,
        color=(0.2, 0.9, 1.0),
        path=((1, (2.6, 2.4, 0.95)), (48, (-1.9, 1.8, 0.95))),
    ),
)

CAMERA_LENS = 32.0  # mm, on Blender's 36 mm sensor
CAMERA_PITCH = 84.0  # degrees from straight down
CAMERA_PATH: tuple[tuple[int, Point], ...] = ((1, (-0.7, -7.4, 1.9)), (48, (0.7, -6.6, 1.7)))
