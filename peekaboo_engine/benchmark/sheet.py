# SPDX-License-Identifier: GPL-3.0-or-later
"""A contact sheet: what became of some layouts under each control, on one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..video import replacing
from .clips import ClipStore
from .comparison import MeasuredClip
from .outlines import outlined

_FRAMES = 4  # of each clip, evenly spread from the first to the last
_FRAME_WIDTH, _SHEET_WIDTH = 216, 2400  # pixels: of a frame and of the sheet at most
_GAP, _SEAM, _LINE = 12, 2, 18
_FONT, _BOLD = ImageFont.load_default(12), ImageFont.load_default(15)
_INK, _PAPER = (34, 34, 34), (255, 255, 255)


def write_sheet(path: Path, scenes: Sequence[Sequence[MeasuredClip]], store: ClipStore) -> None:
    """Write a PNG with a row for each layout and four frames under each control, the wanted boxes in white.

    Args:
        path: where to.
        scenes: at least one; for each layout its clips under all controls, in the same order.
        store: holds the clips.

    Raises:
        EngineError: ``not_written``, ``clip_unreadable``.
    """
    strips = [[_strip(clip, store, len(clips)) for clip in clips] for clips in scenes]
    width, height = strips[0][0].size
    columns = [_GAP + index * (width + _GAP) for index in range(len(scenes[0]))]
    row_height = 2 * _LINE + height + _GAP
    size = columns[-1] + width + _GAP, 2 * _LINE + len(scenes) * row_height
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, clip in zip(columns, scenes[0], strict=True):
        draw.text((x, _LINE // 2), clip.control, fill=_INK, font=_BOLD)
    for row, clips in enumerate(scenes):
        y = 2 * _LINE + row * row_height
        draw.text((_GAP, y), f"{clips[0].prompt}   (layout {clips[0].scene})", fill=_INK, font=_FONT)
        for x, clip, strip in zip(columns, clips, strips[row], strict=True):
            overlap = " / ".join(f"{track.score.miou:.2f}" for track in clip.tracks)
            draw.text((x, y + _LINE), f"mIoU {overlap}", fill=_INK, font=_FONT)
            sheet.paste(strip, (x, y + 2 * _LINE))
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)


def _strip(clip: MeasuredClip, store: ClipStore, controls: int) -> Image.Image:
    """Four frames of a clip beside each other."""
    frames = store.frames(clip.scene, clip.control)
    width = min(_FRAME_WIDTH, (_SHEET_WIDTH // controls - _GAP) // _FRAMES - _SEAM)
    height = round(width * frames.shape[1] / frames.shape[2])
    strip = Image.new("RGB", (_FRAMES * (width + _SEAM) - _SEAM, height), _PAPER)
    shown = np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int).tolist()
    for place, index in enumerate(shown):
        smaller = Image.fromarray(frames[index]).resize((width, height), Image.Resampling.LANCZOS)
        strip.paste(outlined(clip, index, np.asarray(smaller), found=False), (place * (width + _SEAM), 0))
    return strip
