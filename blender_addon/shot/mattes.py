# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks of a scene's subjects for other programs: see :mod:`..masks.mattes`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mathutils import Color

from ..masks import mattes
from . import subjects


def write_mattes(
    scene,
    kind: str,
    folder: Path,
    on_frame: Callable[[int, int], None] | None = None,
    on_play: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a scene's masks.

    Args:
        scene: the user's.
        kind: ``png`` for :func:`mattes.write_pngs`, ``exr`` for :func:`mattes.write_cryptomatte`.
        folder: gets the files.
        on_frame: see there.
        on_play: see there.

    Returns:
        What those return.

    Raises:
        PeekabooError: there is no subject, or as those.
    """
    roles = subjects.roles_of(scene)
    if kind == "png":
        return mattes.write_pngs(scene, roles, folder, on_frame, on_play)
    linear = [Color(role.objects[0].peekaboo.color).from_srgb_to_scene_linear() for role in roles]
    colors = [(color.r, color.g, color.b) for color in linear]
    return mattes.write_cryptomatte(scene, roles, colors, folder, on_frame, on_play)
