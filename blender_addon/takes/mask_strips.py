# SPDX-License-Identifier: GPL-3.0-or-later
"""The masks of a take as a strip over it: outlines and tints in the colours of the subjects."""

from __future__ import annotations

import json
from contextlib import suppress

from .. import compat, paths
from ..borders import documents
from ..errors import PeekabooError
from ..masks import painting
from ..shot import subjects
from . import folders, strips

OF_PROPERTY = "peekaboo_masks_of"
"""Custom property of a strip of masks: the file of the take that they belong to, when they were shown."""
MUTED_PROPERTY = "peekaboo_muted"
"""Custom property of a strip of masks: JSON, names of takes that are hidden as long as it is there."""
SCALE = 3
"""Pixels of the picture to a pixel of the mask, for thin outlines; fewer where masks are large or many."""
MOST_PIXELS = 2**26
"""Of all pictures of a take together, where that leaves a pixel to each of the masks'."""


def shown_over(strip):
    """The strip that shows the masks of a take; None where there is none."""
    every = compat.all_strips(strip.id_data.sequence_editor)
    found = [one for one in every if one.type == "IMAGE" and OF_PROPERTY in one]
    with suppress(PeekabooError):  # paths beside a .blend that was never saved
        for one in found:  # whose paths Blender keeps up to date
            if paths.absolute(one.directory) == strips.folder_of(strip) / "masks":
                return one
    return None


def show(scene, strip):
    """Put the masks of a take of a scene over it, on the next free channel; returns that strip.

    Takes that lie over it are hidden until :func:`hide`, so that one sees the masks over its own picture. The
    pictures go into the folder of the take.

    Raises:
        PeekabooError: the masks are gone, the pictures cannot be written, or all channels are taken.
    """
    job, labels = folders.read(strip)
    colors = subjects.colors_of(scene, [subject["name"] for subject in job["subjects"]])
    scale = next((scale for scale in range(SCALE, 1, -1) if scale**2 * labels.size <= MOST_PIXELS), 1)
    painted = (painting.outlined(frame, colors, scale) for frame in labels)
    pictures = painting.write(painted, strips.folder_of(strip) / "masks")
    start = compat.content_start(strip)
    opened = strips.looked_at(strip.id_data.sequence_editor)
    count = job["timing"]["frame_count"]
    channel = strips.free_channel(opened, start, start + count)
    held = [pictures[i * len(pictures) // count] for i in range(count)]
    masks = compat.strips(opened).new_image(
        name=f"{strip.name} masks",
        filepath=strips.path_in_file(held[0]),
        channel=channel,
        frame_start=start,
        fit_method="FIT",
    )
    for picture in held[1:]:
        masks.elements.append(picture.name)
    compat.set_strip_length(masks, count)
    masks.blend_type = "ALPHA_OVER"
    masks[OF_PROPERTY] = strips.file_of(strip)
    covering = [take for take in strips.covering(strip) if not take.mute]
    for take in covering:
        take.mute = True
    masks[MUTED_PROPERTY] = json.dumps([take.name for take in covering])
    return masks


def hide(strip) -> None:
    """Take the masks of a take away again, and show the takes over it; the pictures stay on disk."""
    masks = shown_over(strip)
    if masks is not None:
        names = _names(masks.get(MUTED_PROPERTY))
        for take in strips.covering(strip):
            take.mute = take.mute and take.name not in names
        strips.remove(masks)


def _names(stated) -> list:
    """The names that a strip of masks remembers; none where somebody has edited that."""
    try:
        names = documents.parse_json(stated) if isinstance(stated, str) else []
    except ValueError:
        return []
    return names if isinstance(names, list) else []
