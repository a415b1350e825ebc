# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a scene's camera, as it is evaluated at a time, into a :class:`projection.Camera`."""

import math

import numpy as np

from ..errors import PeekabooError
from . import projection

SMALLEST_SCALE = 1e-9
"""Of a camera: below it no direction is left to look in."""
SLIGHT = 0.02
"""Share of a camera's frame that a picture may leave out at a side without a word: sizes are multiples."""


def camera_at(scene, frame: float):
    """Find the camera that a scene looks through at a frame, following cameras bound to timeline markers.

    As Blender does: the last marker at or before the whole frame, else the first of all, else the scene's
    camera.

    Raises:
        PeekabooError: the scene has no camera.
    """
    bound = bound_markers(scene)
    past = [marker for marker in bound if marker.frame <= math.floor(frame)]
    if past:
        return max(past, key=lambda marker: marker.frame).camera
    if bound:
        return min(bound, key=lambda marker: marker.frame).camera
    if scene.camera is None:
        raise PeekabooError(f'The scene "{scene.name}" has no camera: add one and make it the active camera.')
    return scene.camera


def bound_markers(scene) -> list:
    """The markers of a scene that cut to a camera, as Blender keeps them."""
    return [marker for marker in scene.timeline_markers if marker.camera and not marker.camera.hide_render]


def cuts(scene, first: int, last: int) -> tuple[int, ...]:
    """The frames of a range at which a scene goes on to another camera; raises as :func:`camera_at`."""
    marked = sorted({marker.frame for marker in scene.timeline_markers if first < marker.frame <= last})
    return tuple(frame for frame in marked if camera_at(scene, frame) != camera_at(scene, frame - 1))


def view(camera, depsgraph, render, aspect: float) -> projection.Camera:
    """Make the projection of an evaluated camera.

    Args:
        camera: an evaluated camera object.
        depsgraph: what evaluated it.
        render: the render settings of the user's scene, which give the frame's shape.
        aspect: width / height of the wanted picture, which is the largest part of the camera's frame that has
            this shape, where the scene's *Framing* has it: centred by default.

    Raises:
        PeekabooError: the object is no camera, a panoramic or custom one, or scaled to nothing.
    """
    rows = picture_rows(camera, depsgraph, render, aspect)
    if min(abs(size) for size in camera.matrix_world.to_scale()) < SMALLEST_SCALE:
        raise PeekabooError(f'The camera "{camera.name}" is scaled to nothing: set its scale to 1.')
    world_to_camera = np.linalg.inv(without_scale(np.array(camera.matrix_world)))
    lens = camera.data
    make = projection.orthographic_camera if lens.type == "ORTHO" else projection.perspective_camera
    return make(world_to_camera, rows, lens.clip_start, lens.clip_end)


def picture_rows(camera, depsgraph, render, aspect: float) -> np.ndarray:
    """The first two rows of a camera's projection matrix, (2, 4), from its own space to -1..1 of the picture.

    Arguments and errors are those of :func:`view`.
    """
    if camera.type != "CAMERA":
        raise PeekabooError(
            f'Blender looks through "{camera.name}", which is not a camera: make a camera the active one.'
        )
    lens = camera.data
    if lens.type not in {"PERSP", "ORTHO"}:
        kind = lens.bl_rna.properties["type"].enum_items[lens.type].name.lower()
        raise PeekabooError(
            f'The camera "{camera.name}" is {kind}: choose a perspective or orthographic lens, which '
            "masks can follow."
        )
    width, height = render_size(render)
    matrix = np.array(
        camera.calc_matrix_camera(
            depsgraph, x=width, y=height, scale_x=render.pixel_aspect_x, scale_y=render.pixel_aspect_y
        )
    )
    return _crop(matrix, window(render, aspect))


def render_size(render) -> tuple[int, int]:
    """Width and height of a rendered picture in pixels, before any crop."""
    scale = render.resolution_percentage / 100
    return max(1, int(render.resolution_x * scale)), max(1, int(render.resolution_y * scale))


def picture_size(render) -> tuple[int, int, float]:
    """Width and height of a rendered picture in pixels, after any crop, and its aspect with none cut off."""
    width, height = render_size(render)
    if render.use_border and render.use_crop_to_border:
        left, bottom, right, top = crop_pixels(render)
        width, height = right - left, top - bottom
    return width, height, width * render.pixel_aspect_x / (height * render.pixel_aspect_y)


def crop_pixels(render) -> tuple[int, int, int, int]:
    """Left, bottom, right and top of the part of a picture that is kept, in pixels from the lower left."""
    width, height = render_size(render)
    if not (render.use_border and render.use_crop_to_border):
        return 0, 0, width, height
    left, right = int(render.border_min_x * width), int(render.border_max_x * width)
    bottom, top = int(render.border_min_y * height), int(render.border_max_y * height)
    return left, bottom, max(right, left + 1), max(top, bottom + 1)


def window(render, aspect: float, framing: float | None = None) -> tuple[float, float, float, float]:
    """Centre and half size, x and y, of the wanted picture, in -1..1 of the camera's frame.

    Args:
        render, aspect: see :func:`view`.
        framing: where the picture is in it, -1..1; as the scene has it by default.
    """
    width, height = render_size(render)
    left, bottom, right, top = crop_pixels(render)
    whole_x, whole_y = (right - left) / width, (top - bottom) / height
    seen = picture_size(render)[2]
    half_x = whole_x * min(1, aspect / seen)
    half_y = whole_y * min(1, seen / aspect)
    shift = render.id_data.peekaboo.framing if framing is None else framing
    center_x = (left + right) / width - 1 + shift * (whole_x - half_x)
    center_y = (bottom + top) / height - 1 + shift * (whole_y - half_y)
    return center_x, center_y, half_x, half_y


def seen_share(render, aspect: float) -> float:
    """How much of a camera's picture the wanted picture of an aspect shows, 0..1."""
    seen = picture_size(render)[2]
    return min(aspect / seen, seen / aspect)


def cropped_sides(render, aspect: float) -> frozenset[str]:
    """The sides at which a camera sees more than the wanted picture shows: of left, right, bottom and top."""
    width, height = render_size(render)
    left, bottom, right, top = crop_pixels(render)
    center_x, center_y, half_x, half_y = window(render, aspect)
    beyond = {
        "left": center_x - half_x - (2 * left / width - 1),
        "right": 2 * right / width - 1 - (center_x + half_x),
        "bottom": center_y - half_y - (2 * bottom / height - 1),
        "top": 2 * top / height - 1 - (center_y + half_y),
    }
    return frozenset(side for side, share in beyond.items() if share > 2 * SLIGHT)


def _crop(matrix: np.ndarray, window: tuple[float, float, float, float]) -> np.ndarray:
    """The first two rows of a projection matrix, (2, 4), such that the window fills -1..1."""
    center_x, center_y, half_x, half_y = window
    return np.stack(
        [(matrix[0] - center_x * matrix[3]) / half_x, (matrix[1] - center_y * matrix[3]) / half_y]
    )


def without_scale(matrix: np.ndarray) -> np.ndarray:
    """The matrix with axes of length 1, as Blender looks through a scaled camera."""
    matrix = matrix.copy()
    matrix[:3, :3] /= np.linalg.norm(matrix[:3, :3], axis=0)
    return matrix
