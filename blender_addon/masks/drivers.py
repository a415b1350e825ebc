# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers that Blender keeps from running, since scripts of the file are not allowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import bpy

from ..errors import PeekabooError
from .simulations import chain_of


def animated_blocks(obj) -> Iterator:
    """What may have drivers of an object, and of all that :func:`.simulations.chain_of` finds."""
    for one in chain_of(obj):
        for block in (one, one.data, getattr(one.data, "shape_keys", None)):
            # No data, and images, which are the data of some empties, have no animation.
            if getattr(block, "animation_data", None) is not None:
                yield block


def check_allowed(objects: Iterable) -> None:
    """Make sure that the drivers of objects that have been evaluated are not what Blender keeps from running.

    It is the usual setting that a file's scripts are not run, without a window above all; what such a driver
    moves stands still then, and nothing but a line in the log says so.

    Raises:
        PeekabooError: one is.
    """
    if not bpy.app.autoexec_fail:
        return
    for obj in objects:
        for block in animated_blocks(obj):
            for curve in block.animation_data.drivers:
                if not curve.driver.is_valid:
                    raise PeekabooError(
                        f'Blender does not run the driver of "{curve.data_path}" of "{block.name}", since '
                        "scripts of the file are not allowed: bake what it moves to keyframes or, if you "
                        "trust the file, allow them (Auto Run Python Scripts, blender --enable-autoexec)."
                    )
