# SPDX-License-Identifier: GPL-3.0-or-later
"""What drivers move, and those that Blender keeps from running, since scripts of the file are not allowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import bpy

from ..errors import PeekabooError
from .dependence import dependents

DRIVEN = (
    *("objects", "meshes", "curves", "hair_curves", "metaballs", "lattices", "armatures", "cameras"),
    *("shape_keys", "node_groups", "particles", "textures", "cache_files", "scenes"),
)
"""Data whose drivers a shape or a place may depend on."""


def check_allowed(objects: Iterable) -> None:
    """Make sure that the drivers of objects that have been evaluated are not what Blender keeps from running.

    It is the usual setting that a file's scripts are not run, without a window above all; what such a driver
    moves stands still then, and nothing but a line in the log says so.

    Args:
        objects: original ones; what they depend on counts as well.

    Raises:
        PeekabooError: one is.
    """
    if not bpy.app.autoexec_fail:
        return
    still = {
        block: curve
        for block in _animated()
        for curve in block.animation_data.drivers
        if not (curve.mute or curve.driver.is_valid)
    }
    moved = dependents(still)
    for block in (moved[obj] for obj in objects if obj in moved):
        raise PeekabooError(
            f'Blender does not run the driver of "{still[block].data_path}" of "{block.name}", since scripts '
            "of the file are not allowed: bake what it moves to keyframes or, if you trust the file, allow "
            "them (Auto Run Python Scripts, blender --enable-autoexec)."
        )


def driven() -> dict:
    """All that depends on drivers, whether they run or not: see :func:`.dependence.dependents`."""
    return dependents(block for block in _animated() if len(block.animation_data.drivers))


def _animated() -> Iterator:
    for name in DRIVEN:
        for block in getattr(bpy.data, name, ()):  # a type of data that a Blender has not got
            if block.animation_data is not None:
                yield block
