# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine will see, drawn over the camera view: each subject's outline, and the edge of the clip.

Outlines follow the pixels of the label map at the model's own size, made from what Blender has evaluated for
the viewport anyway. They are made again only when the scene or the frame has changed. What something hides
of a subject, and so is not the subject's, is dashed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import blf
import bpy
import gpu
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Matrix

from .. import changes, windows
from ..engine.orders import Order
from ..errors import PeekabooError, shown
from ..making import generation
from ..masks import cameras, hiders, projection
from ..masks.cast import Cast, Role
from ..masks.geometry import Hulls
from ..masks.outlines import shapes_at
from ..shot import shots, subjects
from ..shot.size import picture_of
from .sidebar import from_memory
from .strokes import (
    LABEL,
    LETTERS,
    boxes_batch,
    draw_boxes,
    draw_lines,
    fill,
    lines_batch,
    stacked,
    stroke,
    write,
)

LINE_WIDTH = 2.0
RIM_COLOR = (0.0, 0.0, 0.0, 0.5)
FILL = 0.1
"""Opacity of the colour over a subject."""
HIDDEN = 0.6
"""Opacity of the colour where a subject is hidden."""
DASHES = 40
"""How many dashes, or gaps, are as long as the picture is high."""
MOST_LETTERS = 40
"""Of a phrase that is written."""
EDGE_COLOR = (1.0, 1.0, 1.0, 0.35)
OUTSIDE_COLOR = (0.0, 0.0, 0.0, 0.45)
"""Of what the camera sees and the clip does not, about as Blender darkens what the camera does not see."""
SLOW_SECONDS = 0.08
"""Outlines that take longer are made while no animation plays and nothing is dragged: two frames of 24."""
CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))
"""Of the picture, in clip space."""


@dataclass(frozen=True)
class Outline:
    """What is drawn of a subject; places are in 0..1 of the picture with the origin at the bottom left.

    Attributes:
        phrase: that names it.
        color: display RGB.
        lines: ends of the segments around its mask, (n, 2, 2).
        hidden: likewise around what something hides of it, in dashes.
        fill: lower left and upper right corners of rectangles that are its mask, (n, 2, 2).
    """

    phrase: str
    color: tuple[float, float, float]
    lines: np.ndarray
    hidden: np.ndarray
    fill: np.ndarray


@dataclass(frozen=True)
class Outlines:
    """The outlines of one moment.

    Attributes:
        corners: of the clip's picture in world space, (4, 3): bottom left, bottom right, top right, top left.
        subjects: in the order of their labels.
    """

    corners: np.ndarray
    subjects: list[Outline]


@dataclass(frozen=True)
class _Batches:
    """What the graphics card has of an :class:`Outline`, where that has it."""

    fill: Any
    hidden: Any
    lines: Any


_cache: dict[int, tuple[tuple, Outlines | None, float]] = {}
"""By the ``session_uid`` of the scene: what its outlines depend on, those, and the seconds that they took."""
_batches: tuple[Outlines, list[_Batches]] | None = None
"""The outlines that were drawn last, and what is drawn of them."""
_hulls = Hulls()
_handle: Any = None


def outlines(
    scene, view_layer, depsgraph, size: tuple[int, int], shot: shots.Shot | None = None
) -> Outlines | None:
    """Make the outlines of a scene's enabled subjects as they are evaluated; None where they cannot be seen.

    Args:
        scene: the user's.
        view_layer: whose subjects are meant.
        depsgraph: that has evaluated it.
        size: width and height of the model's video.
        shot: of the scene, which is one by default.
    """
    roles = [
        Role(here)
        for role in subjects.used(scene, False, shot)
        if (here := tuple(obj for obj in role.objects if view_layer.objects.get(obj.name) == obj))
    ]
    cast = Cast(scene, roles, update=False)
    try:
        camera = cameras.view(
            scene.camera.evaluated_get(depsgraph), depsgraph, scene.render, size[0] / size[1]
        )
        shapes = shapes_at(cast, depsgraph, _hulls)
        found = projection.labelled(camera, shapes, *size)
        if scene.peekaboo.occluded_by_scene:
            hiders.hide(found, camera, depsgraph, cast)
    except PeekabooError:  # the sentence comes when the user generates
        return None
    colors = subjects.apart([tuple(role.objects[0].peekaboo.color) for role in roles])
    made = []
    for label, (role, color, extent) in enumerate(zip(roles, colors, found.extents, strict=True), start=1):
        mask = found.labels == label
        whole = mask
        if extent > np.count_nonzero(mask):  # looked at once more without what hides it
            whole = projection.label_map(camera, [shapes[label - 1]], *size) == 1
        hidden = hidden_lines(whole, mask)
        made.append(Outline(role.objects[0].peekaboo.phrase, color, border_lines(mask), hidden, runs(mask)))
    return Outlines(picture_corners(camera), made)


def border_lines(mask: np.ndarray) -> np.ndarray:
    """The edges between the pixels of a mask and all others.

    Args:
        mask: bool (height, width), row 0 at the top.

    Returns:
        float64 (n, 2, 2): both ends of each edge, x and y in 0..1 from the bottom left.
    """
    return _lines(*_edges(mask))


def hidden_lines(whole: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Dashes along the edges of a subject that are not those of what is seen of it.

    Args:
        whole: bool (height, width), the pixels that it would have if nothing hid it.
        mask: likewise, those that it has.

    Returns:
        As :func:`border_lines`.
    """
    height, width = whole.shape
    (across, down), seen = _edges(whole), _edges(mask)
    dash = max(2, height // DASHES)
    columns, rows = np.arange(width) // dash % 2 == 0, np.arange(height) // dash % 2 == 0
    return _lines(across & ~seen[0] & columns, down & ~seen[1] & rows[:, None])


def _edges(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a mask ends: above each row, (height + 1, width), and left of columns, (height, width + 1)."""
    padded = np.pad(mask, 1)
    return padded[1:, 1:-1] != padded[:-1, 1:-1], padded[1:-1, 1:] != padded[1:-1, :-1]


def _lines(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The ends of edges that :func:`_edges` found, as :func:`border_lines` has them."""
    height, width = len(down), across.shape[1]
    row, column = np.nonzero(across)
    level = np.stack([np.c_[column, row], np.c_[column + 1, row]], axis=1)
    row, column = np.nonzero(down)
    upright = np.stack([np.c_[column, row], np.c_[column, row + 1]], axis=1)
    edges = np.concatenate([level, upright]) / (width, height)
    edges[..., 1] = 1 - edges[..., 1]
    return edges


def runs(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask, those beside one another in a row as one rectangle.

    Args:
        mask: bool (height, width), row 0 at the top.

    Returns:
        float64 (n, 2, 2): lower left and upper right corners, x and y in 0..1 from the bottom left.
    """
    height, width = mask.shape
    _, down = _edges(mask)
    row, column = np.nonzero(down)  # by rows, so that they begin and end in turn
    starts, ends = column[::2], column[1::2]
    low = np.c_[starts, height - 1 - row[::2]]
    return np.stack([low, np.c_[ends, low[:, 1] + 1]], axis=1) / (width, height)


def picture_corners(camera: projection.Camera) -> np.ndarray:
    """World points, (4, 3), that a camera sees in the corners of its picture."""
    key = (camera.near + camera.far) / 2
    points = np.array([(x, y, key, 1) for x, y in CORNERS]) @ camera.clip_to_world.T
    return points[:, :3] / points[:, 3:]


def current_outlines(context) -> Outlines | None:
    """The outlines of a context's scene as it is shown.

    None where they cannot be seen, and while something plays or is dragged that they would hold up.
    """
    scene = context.scene
    try:
        width, height = picture_of(scene)
        shot = shots.shot_at(scene, scene.frame_current)
    except PeekabooError:
        return None
    depsgraph = context.evaluated_depsgraph_get()
    key = (changes.count_of_views(), scene.frame_current_final, width, height, context.view_layer.name, shot)
    key += (scene.peekaboo.framing, scene.peekaboo.occluded_by_scene)
    known, made, seconds = _cache.get(scene.session_uid, ((), None, 0.0))
    if known == key:
        return made
    if seconds > SLOW_SECONDS and (windows.is_playing() or windows.is_hand_busy()):
        return None
    _cache.clear()
    begun = time.monotonic()
    made = outlines(scene, context.view_layer, depsgraph, (width, height), shot)
    _cache[scene.session_uid] = key, made, time.monotonic() - begun
    return made


def _on_screen(context, points: np.ndarray) -> np.ndarray | None:
    """World points (n, 3) in pixels of the region: (n, 2); None where one is behind whoever looks."""
    region = context.space_data.region_3d
    found = [location_3d_to_region_2d(context.region, region, point) for point in points]
    return None if None in found else np.array(found)


def looks_through_camera(context) -> bool:
    """Whether a viewport looks through its scene's camera and shows overlays."""
    space, camera = context.space_data, context.scene.camera
    through = space.region_3d.view_perspective == "CAMERA" and space.camera == camera
    return through and camera is not None and space.overlay.show_overlays


def picture_on_screen(context) -> tuple[np.ndarray, np.ndarray] | None:
    """Lower left corner of the clip's picture in pixels of the region, (2,), and its sides, (2, 2).

    None where the viewport does not show it.
    """
    scene = context.scene
    if not looks_through_camera(context):
        return None
    depsgraph = context.evaluated_depsgraph_get()
    try:
        width, height = picture_of(scene)
        camera = cameras.view(scene.camera.evaluated_get(depsgraph), depsgraph, scene.render, width / height)
    except PeekabooError:
        return None
    corners = _on_screen(context, picture_corners(camera))
    return None if corners is None else (corners[0], corners[[1, 3]] - corners[0])


@from_memory(in_view=True)
def _draw() -> None:
    """Draw over a viewport that looks through its scene's camera."""
    context: Any = bpy.context
    if not (looks_through_camera(context) and context.scene.peekaboo.show_outlines):
        return
    seen = current_outlines(context)
    corners = _on_screen(context, seen.corners) if seen is not None else None
    if seen is None or corners is None:
        return
    gpu.state.blend_set("ALPHA")
    draw_boxes(bars_around(corners[[0, 2]], _camera_frame(context)), OUTSIDE_COLOR)
    draw_lines(np.stack([corners, np.roll(corners, -1, axis=0)], axis=1), EDGE_COLOR, 1.0)
    batches = _batches_of(seen)
    matrices: Any = gpu.matrix  # whose stubs know no context manager
    with matrices.push_pop():
        matrices.multiply_matrix(_to_region(corners))
        if not _is_over_picture(context.scene):  # whose colours it would change
            for subject, batch in zip(seen.subjects, batches, strict=True):
                fill(batch.fill, (*subject.color, FILL))
        for subject, batch in zip(seen.subjects, batches, strict=True):
            for lines, opacity in ((batch.hidden, HIDDEN), (batch.lines, 1.0)):
                stroke(lines, RIM_COLOR, LINE_WIDTH + 2)  # so that they are seen on any ground
                stroke(lines, (*subject.color, opacity), LINE_WIDTH)
    _write_phrases(context, seen.subjects, corners)
    gpu.state.blend_set("NONE")


def _batches_of(seen: Outlines) -> list[_Batches]:
    """What is drawn of each subject, which stays on the graphics card while only the view changes."""
    global _batches
    if _batches is None or _batches[0] is not seen:
        made = [
            _Batches(boxes_batch(each.fill), lines_batch(each.hidden), lines_batch(each.lines))
            for each in seen.subjects
        ]
        _batches = seen, made
    return _batches[1]


def _to_region(corners: np.ndarray) -> Matrix:
    """The matrix from 0..1 of a picture with these corners in pixels, (4, 2), to the region's pixels."""
    matrix = np.eye(4)
    matrix[:2, :2] = (corners[[1, 3]] - corners[0]).T
    matrix[:2, 3] = corners[0]
    return Matrix(matrix.tolist())


def preview_in(scene) -> Order | None:
    """What is being denoised and seen in the view of a scene's camera at its frame; None where nothing is."""
    order = generation.current()
    if order is None or order.preview is None or order.scene != scene.session_uid:
        return None
    return order if scene.frame_current in order.frames else None


def _is_over_picture(scene) -> bool:
    """Whether a clip, or another picture, lies in the view of a scene's camera."""
    lens = scene.camera.data
    behind = lens.show_background_images and any(
        image.show_background_image for image in lens.background_images
    )
    return behind or preview_in(scene) is not None


def _write_phrases(context, outlined: list[Outline], corners: np.ndarray) -> None:
    """Write above each outline the words that name the subject, none over another's."""
    size = LETTERS * context.preferences.system.ui_scale
    origin, axes = corners[0], corners[[1, 3]] - corners[0]
    texts, colors, places, widths = [], [], [], []
    blf.size(0, size)
    for subject in outlined:
        lines = subject.lines if len(subject.lines) else subject.hidden
        if not subject.phrase or not len(lines):
            continue
        text = shown(subject.phrase)
        texts.append(text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…")
        colors.append((*subject.color, 1.0 if len(subject.lines) else HIDDEN))
        widths.append(blf.dimensions(0, texts[-1])[0])
        above = origin + (lines[..., 0].min(), lines[..., 1].max()) @ axes + (0, 0.75 * size)
        places.append(np.maximum(np.minimum(above, corners[2] - (widths[-1], LABEL * size)), origin))
    write(context, list(zip(texts, stacked(places, widths, LABEL * size), colors, strict=True)))


def bars_around(picture: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The parts of a frame that a picture inside it leaves free: (4, 2, 2), some of them without area.

    Args:
        picture: its lower left and upper right corner, (2, 2).
        frame: likewise.
    """
    (left, bottom), (right, top) = np.clip(picture, *frame)
    (frame_left, frame_bottom), (frame_right, frame_top) = frame
    return np.array(
        [
            [(frame_left, frame_bottom), (left, frame_top)],
            [(right, frame_bottom), (frame_right, frame_top)],
            [(left, frame_bottom), (right, bottom)],
            [(left, top), (right, frame_top)],
        ]
    )


def _camera_frame(context) -> np.ndarray:
    """Lower left and upper right corner of what the camera sees, in pixels of the region: (2, 2)."""
    camera = context.scene.camera
    place, turn, _ = camera.matrix_world.decompose()
    to_world = Matrix.LocRotScale(place, turn, None)
    corners: Any = [
        location_3d_to_region_2d(context.region, context.space_data.region_3d, to_world @ corner)
        for corner in camera.data.view_frame(scene=context.scene)
    ]
    return np.array([np.min(corners, axis=0), np.max(corners, axis=0)])


def register():
    """Draw in all 3D viewports."""
    global _handle
    _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister():
    """Draw nothing any more."""
    global _handle, _batches
    bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
    _handle = _batches = None
    _cache.clear()
