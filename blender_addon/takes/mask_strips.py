# SPDX-License-Identifier: GPL-3.0-or-later
"""The masks of a take as a strip over it: outlines and tints in the colours of the subjects."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import bpy
import numpy as np

from .. import compat
from ..borders import places
from ..errors import PeekabooError
from ..shot import subjects
from . import folders as takes
from . import strips as sequencer

OF_PROPERTY = "peekaboo_masks_of"
"""Custom property of a strip of masks: the movie of the take that they belong to."""
SCALE = 3
"""Pixels of the picture to a pixel of the mask, for thin outlines; fewer where masks are large or many."""
MOST_PIXELS = 2**26
"""Of all pictures of a take together, where that leaves a pixel to each of the masks'."""
TINT, LINE = 70, 255
"""Opacity of a mask's inside and of its outline, of 255."""


def shown_over(scene, strip):
    """The strip that shows the masks of a take; None where there is none."""
    for other in compat.strips(scene.sequence_editor):
        if other.get(OF_PROPERTY) == strip.filepath:
            return other
    return None


def show(scene, strip):
    """Put the masks of a take over it, on the next free channel; returns that strip.

    The pictures go into the folder of the take.

    Raises:
        PeekabooError: the masks are gone, the pictures cannot be written, or all channels are taken.
    """
    job, labels = takes.read(strip)
    colors = _colors(scene, [subject["name"] for subject in job["subjects"]])
    folder = sequencer.folder_of(strip) / "masks"
    pictures = _write(folder, labels, colors)
    editor, start = scene.sequence_editor, compat.content_start(strip)
    count = job["timing"]["frame_count"]
    channel = sequencer.free_channel(editor, start, start + count)
    held = [pictures[i * len(pictures) // count] for i in range(count)]
    masks = compat.strips(editor).new_image(
        name=f"{strip.name} masks",
        filepath=sequencer.path_in_file(folder / held[0]),
        channel=channel,
        frame_start=start,
        fit_method="FIT",
    )
    for name in held[1:]:
        masks.elements.append(name)
    compat.set_strip_length(masks, count)
    masks.blend_type = "ALPHA_OVER"
    masks[OF_PROPERTY] = strip.filepath
    return masks


def hide(scene, strip) -> None:
    """Take the masks of a take away again; the pictures stay on disk."""
    masks = shown_over(scene, strip)
    if masks is not None:
        compat.strips(scene.sequence_editor).remove(masks)


def paint(labels: np.ndarray, colors: list[tuple[int, ...]], scale: int = SCALE) -> np.ndarray:
    """Draw a label map: uint8 (height, width) becomes uint8 (scale height, scale width, 4), RGBA."""
    palette = np.array([(0, 0, 0, 0), *((*color, TINT) for color in colors)], np.uint8)
    large = labels.repeat(scale, axis=0).repeat(scale, axis=1)
    edge = np.zeros(large.shape, bool)
    for axis in (0, 1):
        for step in (-1, 1):
            edge |= np.roll(large, step, axis) != large
    edge[[0, -1]], edge[:, [0, -1]] = False, False  # the picture's own edge is no outline, and rolls over
    picture = palette[large]
    picture[edge & (large > 0), 3] = LINE
    return picture


def _colors(scene, names: list[str]) -> list[tuple[int, ...]]:
    """Colours of subjects, 0..255; of objects that are gone, new ones."""
    colors = []
    for k, name in enumerate(names):
        obj = scene.objects.get(name) or bpy.data.objects.get(name)
        color = obj.peekaboo.color if obj else subjects.new_color(k)
        colors.append(tuple(round(255 * channel) for channel in color))
    if len(set(colors)) < len(colors):  # set from a script, which leaves them all at the default
        colors = [tuple(round(255 * c) for c in subjects.new_color(k)) for k in range(len(colors))]
    return colors


def _write(folder: Path, labels: np.ndarray, colors: list[tuple[int, ...]]) -> list[str]:
    """Write a PNG for each frame; returns their names."""
    names = [f"{frame + 1:04}.png" for frame in range(len(labels))]
    scale = next((scale for scale in range(SCALE, 1, -1) if scale**2 * labels.size <= MOST_PIXELS), 1)
    try:
        with places.opened(folder) as pictures:
            for name, frame in zip(names, labels, strict=True):
                picture = _png(paint(frame, colors, scale))
                pictures.write(name, lambda file, picture=picture: file.write(picture))
    except OSError as error:
        raise PeekabooError(
            f'The masks cannot be written to "{folder}" ({error.strerror}): make room there.'
        ) from None
    return names


def _png(pixels: np.ndarray) -> bytes:
    """Encode uint8 (height, width, 4), RGBA in sRGB, row 0 at the top."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 4 * width), np.uint8)  # a row begins with its filter: 0 is none
    rows[:, 1:] = pixels.reshape(height, 4 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)  # 8 bits, RGBA, not interlaced
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), level=1)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data
