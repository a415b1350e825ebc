# SPDX-License-Identifier: GPL-3.0-or-later
"""How takes are looked at: in the camera's view, and one without the others."""

from __future__ import annotations

from contextlib import suppress

import bpy
from bpy.app.handlers import persistent

from .. import changes, compat, paths, windows
from ..borders import places
from ..errors import PeekabooError
from ..masks import cameras
from . import strips

IN_CAMERA = "peekaboo_in_camera"
"""Custom property of an image that a camera shows behind its view because it is a take's."""
OUTSIDE = "peekaboo_outside"
"""Custom property of such an image while the scene is at none of its frames."""
OPACITY = 0.6


def others_in_place(strip) -> list:
    """The other takes of a sequencer that have frames of a take."""
    start, end = compat.strip_range(strip)
    ranges = ((take, *compat.strip_range(take)) for take in strips.takes(strip.id_data) if take != strip)
    return [take for take, first, past in ranges if first < end and past > start]


def is_alone(strip) -> bool:
    """Whether a take is seen and all others of its frames are not."""
    others = others_in_place(strip)
    return not is_hidden(strip) and bool(others) and all(take.mute for take in others)


def is_hidden(strip) -> bool:
    """Whether a strip is muted, or a meta strip that it is in."""
    meta = strip.parent_meta()
    return strip.mute or (meta is not None and is_hidden(meta))


def show_alone(strip) -> None:
    """Hide the other takes of its frames, or show them again where a take is alone."""
    others, hide = others_in_place(strip), not is_alone(strip)
    reveal(strip)
    for take in others:
        take.mute = hide


def reveal(strip) -> None:
    """Hide a strip no more, nor the meta strips that it is in."""
    shown = strip
    while shown is not None:
        shown.mute = False
        shown = shown.parent_meta()


def choose_seen(takes: list) -> None:
    """Choose the highest take that is seen of some that share frames; where none is, let the highest be."""
    above = max(takes, key=lambda take: (not is_hidden(take), strips.height_of(take)))
    reveal(above)
    strips.choose(above.id_data.sequence_editor, above)


def in_camera(scene, strip):
    """What the camera of a scene's take has of it behind its view, as a background image; None without."""
    camera = cameras.camera_at(scene, compat.content_start(strip))
    if camera.type != "CAMERA":
        return None
    return _shown_by(camera.data, strip)


def show_in_camera(scene, strip):
    """Let the camera of a scene's take play it in its view, at its frames; returns the background image.

    The camera keeps other pictures of its own, and takes of other frames; one of the same frames gives way.

    Raises:
        PeekabooError: there is no camera to show it, or the clip is gone.
    """
    camera = cameras.camera_at(scene, compat.content_start(strip))
    if camera.type != "CAMERA" or not camera.data.is_editable:
        raise PeekabooError(
            f'"{camera.name}" cannot show the clip: it is no camera, or linked from another file.'
        )
    clip = paths.absolute(strips.file_of(strip))
    if not places.is_file(clip):
        raise PeekabooError(f'There is no clip at "{clip}": generate it again.')
    lens = camera.data
    start, end = compat.strip_range(strip)
    for one in list(lens.background_images):
        if _is_of_take(one) and start < _past(one.image_user) and one.image_user.frame_start < end:
            remove_from_camera(lens, one)
    image = bpy.data.images.load(strips.path_in_file(clip), check_existing=False)
    image[IN_CAMERA] = True
    shown = lens.background_images.new()
    shown.image = image
    shown.alpha, shown.display_depth, shown.frame_method = OPACITY, "FRONT", "FIT"
    with suppress(PeekabooError):  # one that is damaged is shown amid
        _place(shown, scene, lens, strips.job_of(strip))
    user = shown.image_user
    user.frame_start, user.frame_duration = start, end - start
    user.frame_offset = start - compat.content_start(strip)  # what a handle hides
    user.use_auto_refresh, user.use_cyclic = True, False
    lens.show_background_images = True
    keep_to_frames(scene)
    return shown


def keep_to_frames(scene) -> None:
    """Let cameras show takes at their frames alone: Blender holds a movie's first and last picture beyond.

    One that the user has hidden stays so.
    """
    cameras_of = [scene.camera, *(marker.camera for marker in scene.timeline_markers)]
    lenses = {camera.data for camera in cameras_of if camera is not None and camera.type == "CAMERA"}
    turned = []
    for lens in lenses:
        for one in lens.background_images if lens.is_editable else ():
            if _is_of_take(one):
                inside = one.image_user.frame_start <= scene.frame_current < _past(one.image_user)
                if OUTSIDE in one.image if inside else one.show_background_image:
                    turned.append((one, inside))
    if turned:
        with changes.updates_ignored():  # for it changes no mask
            for one, inside in turned:
                one.show_background_image = inside
                if inside:
                    del one.image[OUTSIDE]
                else:
                    one.image[OUTSIDE] = True


def _past(user) -> int:
    """The frame after the last of what a background image shows."""
    return user.frame_start + user.frame_duration


@persistent
def _frame_changed(scene, *_) -> None:
    shown = any(window.scene == scene for window in bpy.context.window_manager.windows)
    if shown and not windows.is_rendering():
        keep_to_frames(scene)


def _place(shown, scene, lens, job: dict) -> None:
    """Put a background image where a take's picture is in the camera's frame.

    Blender's own count of its offset is that of ``image_camera_background_matrix_get`` in its overlay engine:
    of the frame as :meth:`bpy.types.Camera.view_frame` has it, but for these aspects.
    """
    aspect = job["width"] / job["height"]
    window = cameras.window(scene.render, aspect, job.get("masks", {}).get("framing", 0.0))
    center_x, center_y, half_x, half_y = window
    right_top, _, left_bottom, _ = lens.view_frame(scene=scene)
    width, height = right_top.x - left_bottom.x, right_top.y - left_bottom.y
    frame = width / height
    shown.offset = (
        center_x / 2 * width / min(1.0, frame),
        center_y / 2 * height * max(1.0, frame) * aspect / frame,
    )
    shown.scale = half_x if aspect > frame else half_y


def remove_from_camera(lens, shown) -> None:
    """Take a background image of :func:`show_in_camera` away again."""
    image = shown.image
    shown.image = None  # so that it is not counted as a user of it any more
    lens.background_images.remove(shown)
    if image is not None and image.users == 0:
        bpy.data.images.remove(image)


def hide_in_camera(scene, strip) -> None:
    """Let the camera of a scene's take show it no more."""
    shown = in_camera(scene, strip)
    if shown is not None:
        remove_from_camera(cameras.camera_at(scene, compat.content_start(strip)).data, shown)


def hide_in_all_cameras(strip) -> None:
    """Let no camera of the file show a take any more."""
    for lens in bpy.data.cameras:
        if lens.is_editable and (shown := _shown_by(lens, strip)) is not None:
            remove_from_camera(lens, shown)


def images_of(strip) -> list:
    """The images by which cameras of the file show a take."""
    found = (_shown_by(lens, strip) for lens in bpy.data.cameras if lens.is_editable)
    return [shown.image for shown in found if shown is not None]


def _shown_by(lens, strip):
    """The background image of a camera that shows a take; Blender keeps the paths of both up to date."""
    clip = paths.absolute(strips.file_of(strip))
    shown = (one for one in lens.background_images if _is_of_take(one))
    return next((one for one in shown if paths.absolute(one.image.filepath) == clip), None)


def _is_of_take(shown) -> bool:
    return shown.source == "IMAGE" and shown.image is not None and IN_CAMERA in shown.image


def register():
    """Follow the frame."""
    bpy.app.handlers.frame_change_post.append(_frame_changed)


def unregister():
    """Follow it no more."""
    bpy.app.handlers.frame_change_post.remove(_frame_changed)
