# SPDX-License-Identifier: GPL-3.0-or-later
"""Move the takes of a scene to where its setting says, since takes stay together."""

from ..errors import PeekabooError
from . import mask_strips, reels, strips


def move(scene) -> list[str]:
    """Move all takes of a scene between its own sequencer and that of its reel; returns why some stay.

    Masks that are shown over them are hidden. The active one is active there, too.
    """
    left: list[str] = []
    if not reels.misplaced(scene):
        return left
    takes = sorted(reels.takes(scene), key=strips.height_of)
    active, chosen = reels.active_take(scene), None
    new = scene if scene.peekaboo.takes_in == "scene" else reels.prepare_reel(scene)
    for strip in takes:
        mask_strips.hide(strip)
        is_active = strip == active
        try:
            moved = strips.move(strip, new)
        except PeekabooError as error:
            left.append(str(error))
        else:
            chosen = moved if is_active else chosen
    if chosen is not None:
        strips.choose(new.sequence_editor, chosen)
    return left
