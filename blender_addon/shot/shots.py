# SPDX-License-Identifier: GPL-3.0-or-later
"""Which frames of a scene become a clip."""

from __future__ import annotations

from ..errors import PeekabooError


def range_of(scene) -> tuple[int, int]:
    """First and last frame of what is generated of a scene: its preview range where it uses one.

    Raises:
        PeekabooError: the range is empty.
    """
    if scene.use_preview_range:
        start, end, what = scene.frame_preview_start, scene.frame_preview_end, "preview range"
    else:
        start, end, what = scene.frame_start, scene.frame_end, "frame range"
    if end < start:
        raise PeekabooError(
            f'The scene "{scene.name}" ends at frame {end}, before its start at {start}: set its {what}.'
        )
    return start, end
