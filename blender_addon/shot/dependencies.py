# SPDX-License-Identifier: GPL-3.0-or-later
"""What a layout that was read before depends on, so that it can be told whether it still holds.

Blender says when something changes that a window shows. That is not all that a layout depends on: markers
bind cameras, scripts may write keyframes and say nothing, and what is hidden from the viewport is left out.
"""

from __future__ import annotations

import zlib

import bpy
import numpy as np

from .. import compat
from ..errors import PeekabooError
from ..masks import cameras, drivers, sampling
from ..masks.cast import Cast
from . import stating, subjects
from .layout import timing_of
from .shots import Shot
from .size import size_of

MOST_KEYFRAMES = 20_000
"""Of a file with more, it takes too long to tell whether one has changed."""

RENDER_SETTINGS = (
    *("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y"),
    *("use_border", "use_crop_to_border", "border_min_x", "border_max_x", "border_min_y", "border_max_y"),
    *("motion_blur_shutter", "motion_blur_position", "frame_map_old", "frame_map_new"),
    *("use_simplify", "simplify_subdivision_render"),
)

OWN = ("phrase", "outline", "strength")
"""Settings of a subject's: Blender tells when the sidebar changes them, not when a script does."""


def dependencies_of(scene, shot: Shot | None) -> tuple | None:
    """State what the layout of a shot depends on beyond what Blender tells changes of.

    Two that are equal, with no change told between them, stand for the same layout.

    Returns:
        None where changes would not be told, or where there is no layout: then it has to be read each time.
    """
    layer = _shown_layer(scene)
    keyframes = _keyframes()
    if layer is None or keyframes is None:
        return None
    try:
        width, height, num_frames = size_of(scene, shot)
        timing = timing_of(scene, num_frames, shot)
        cast = Cast(scene, subjects.roles_of(scene, shot))
        seen_by = [cameras.camera_at(scene, time) for time in timing.scene_frames]
    except PeekabooError:
        return None
    staged = sampling.staged_objects(scene, cast, seen_by)
    driven = drivers.driven()  # by what a script may change and say nothing
    if not all(obj not in driven and _is_watched(obj, layer) for obj in staged):
        return None
    return (
        (width, height, timing, tuple(stating.of_masks(scene.peekaboo).items())),
        [getattr(scene.render, setting) for setting in RENDER_SETTINGS],
        [(obj.session_uid, obj.name, *(getattr(obj.peekaboo, name) for name in OWN)) for obj in cast.marked],
        [(obj.session_uid, owner.session_uid) for obj, owner in sorted(cast.owners.items(), key=_by_uid)],
        [camera.session_uid for camera in seen_by],
        keyframes,
    )


def _shown_layer(scene):
    """The view layer in which a window shows a scene; without any window, that of the context."""
    windows = bpy.context.window_manager.windows
    layers = [window.view_layer for window in windows if window.scene == scene]
    if not windows and bpy.context.scene == scene:
        layers.append(bpy.context.view_layer)
    return layers[0] if layers else None


def _is_watched(obj, layer) -> bool:
    """Whether Blender evaluates an object for the view layer as the sampler does, and so tells changes."""
    return _is_evaluated_as_shown(obj) and obj.visible_get(view_layer=layer)


def _is_evaluated_as_shown(obj) -> bool:
    """Whether Blender evaluates an object for a viewport as it does for a render."""
    return not obj.hide_viewport and not any(map(_differs_in_viewport, obj.modifiers))


def _differs_in_viewport(modifier) -> bool:
    """Whether a render would show a modifier's result otherwise than a viewport."""
    if modifier.show_viewport != modifier.show_render:
        return True
    return hasattr(modifier, "render_levels") and modifier.levels != modifier.render_levels


def _by_uid(item: tuple) -> int:
    return item[0].session_uid


def _keyframes() -> int | None:
    """A checksum of the keyframes and modifiers of all actions; None where there are too many."""
    known, count = 0, 0
    for action in bpy.data.actions:
        for curve in compat.fcurves_of_action(action):
            points = curve.keyframe_points
            count += len(points)
            if count > MOST_KEYFRAMES:
                return None
            for part in ("co", "handle_left", "handle_right"):
                values = np.empty(2 * len(points), np.float32)
                points.foreach_get(part, values)
                known = zlib.crc32(values.tobytes(), known)
            beyond = curve.mute, curve.extrapolation, [(kind.type, kind.mute) for kind in curve.modifiers]
            known = zlib.crc32(repr(beyond).encode(), known)
    return known
