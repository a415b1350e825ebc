# SPDX-License-Identifier: GPL-3.0-or-later
"""What is being denoised, in the camera's view where the clip's picture will be; outlines lie over it.

It is the picture of one frame, while the outlines are those of the frame that one is at: so its own is said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

from ..borders.places import read_file
from .icons import MAX_BYTES, read_png
from .overlay import picture_on_screen, preview_in
from .sidebar import from_memory
from .strokes import LETTERS, write

OPACITY = 0.85

_texture: tuple[tuple[Path, int], Any] | None = None
"""Which preview is on the graphics card, and it; None in its place where it could not be read."""
_handle: Any = None


def _current(path: Path, version: int) -> Any:
    """The texture of a preview; None while it cannot be read, such as in the middle of being replaced."""
    global _texture
    if _texture is None or _texture[0] != (path, version):
        _texture = (path, version), _read(path)
    return _texture[1]


def _read(path: Path) -> Any:
    try:
        pixels = read_png(read_file(path, MAX_BYTES))
    except (OSError, ValueError):
        return None
    height, width = pixels.shape[:2]
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = pixels[::-1] / np.float32(255)  # a texture's rows begin at the bottom
    types: Any = gpu.types  # whose stubs lack the arguments
    values = types.Buffer("FLOAT", rgba.size, rgba.ravel())
    return types.GPUTexture((width, height), format="RGBA8", data=values)


def previewed(frames: range) -> int:
    """The frame of the scene that the engine's previews show: the middle one of the clip."""
    return frames[len(frames) // 2]


@from_memory(in_view=True)
def _draw() -> None:
    """Draw over a viewport that looks through the camera of the scene whose clip is made."""
    context: Any = bpy.context
    order = preview_in(context.scene)
    if order is None or order.preview is None:
        return
    frames = order.frames
    place, texture = picture_on_screen(context), _current(order.preview, order.previews)
    if place is None or texture is None:
        return
    origin, (right, up) = place
    corners = [tuple(point) for point in (origin, origin + right, origin + right + up, origin + up)]
    shader = gpu.shader.from_builtin("IMAGE_COLOR")
    batch = batch_for_shader(
        shader, "TRI_FAN", {"pos": corners, "texCoord": [(0, 0), (1, 0), (1, 1), (0, 1)]}
    )
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_sampler("image", texture)
    shader.uniform_float("color", (1.0, 1.0, 1.0, OPACITY))
    batch.draw(shader)
    now = context.scene.frame_current
    if (shown := previewed(frames)) != now:
        text = f"Preview of frame {shown}"
        if context.scene.peekaboo.show_outlines:
            text += f", outlines of frame {now}"
        size = LETTERS * context.preferences.system.ui_scale
        corner = origin + up + (size / 2, -1.5 * size)
        write(context, [(text, corner, (1.0, 1.0, 1.0, 1.0))])
    gpu.state.blend_set("NONE")


def register():
    """Begin to draw, below the outlines."""
    global _handle
    _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister():
    """Draw no more."""
    global _handle, _texture
    bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
    _handle = _texture = None
