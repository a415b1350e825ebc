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
_COLUMNS = 4  # clips beside each other
_FRAME_WIDTH, _SHEET_WIDTH = 216, 2400  # pixels: of a frame and of the sheet at most
_GAP, _SEAM, _LINE = 12, 2, 18
_FONT, _BOLD = ImageFont.load_default(12), ImageFont.load_default(14)
_INK, _PAPER = (34, 34, 34), (255, 255, 255)


def write_sheet(path: Path, scenes: Sequence[Sequence[MeasuredClip]], store: ClipStore) -> None:
    """Write a PNG: for each layout four frames under each control, with the wanted boxes in white.

    Args:
        path: where to.
        scenes: at least one; for each layout its clips under all controls, in the same order.
        store: holds the clips.

    Raises:
        EngineError: ``not_written``, ``clip_unreadable``.
    """
    blocks = [_block(clips, store) for clips in scenes]
    width = blocks[0].width + 2 * _GAP
    sheet = Image.new("RGB", (width, _GAP + sum(block.height + _GAP for block in blocks)), _PAPER)
    y = _GAP
    for block in blocks:
        sheet.paste(block, (_GAP, y))
        y += block.height + _GAP
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)


def _block(clips: Sequence[MeasuredClip], store: ClipStore) -> Image.Image:
    """A layout's prompt, and its clips beside each other, in as many lines as it takes."""
    columns, lines = min(len(clips), _COLUMNS), -(-len(clips) // _COLUMNS)
    strips = [_strip(clip, store, columns) for clip in clips]
    width, height = strips[0].width + _GAP, strips[0].height + _LINE + _SEAM
    block = Image.new("RGB", (columns * width - _GAP, _LINE + lines * height), _PAPER)
    draw = ImageDraw.Draw(block)
    draw.text((0, 0), f"{clips[0].prompt}   (layout {clips[0].scene})", fill=_INK, font=_BOLD)
    for index, (clip, strip) in enumerate(zip(clips, strips, strict=True)):
        line, column = divmod(index, columns)
        x, y = column * width, _LINE + line * height
        overlap = " / ".join(f"{track.score.miou:.2f}" for track in clip.tracks)
        draw.text((x, y + 2), f"{clip.control}   mIoU {overlap}", fill=_INK, font=_FONT)
        block.paste(strip, (x, y + _LINE))
    return block


def _strip(clip: MeasuredClip, store: ClipStore, columns: int) -> Image.Image:
    """Four frames of a clip beside each other."""
    frames = store.frames(clip.scene, clip.control)
    width = min(_FRAME_WIDTH, (_SHEET_WIDTH // columns - _GAP) // _FRAMES - _SEAM)
    height = round(width * frames.shape[1] / frames.shape[2])
    strip = Image.new("RGB", (_FRAMES * (width + _SEAM) - _SEAM, height), _PAPER)
    shown = np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int).tolist()
    for place, index in enumerate(shown):
        smaller = Image.fromarray(frames[index]).resize((width, height), Image.Resampling.LANCZOS)
        strip.paste(outlined(clip, index, np.asarray(smaller), found=False), (place * (width + _SEAM), 0))
    return strip
