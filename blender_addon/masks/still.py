# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of a scene at one time, by its own render engine, cut as the masks are.

A copy of the scene is rendered: its size, format and path are ours, and nothing of the user's scene, render
results and files changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bpy

from .. import compat, windows
from ..errors import CancelledError, PeekabooError
from . import cameras, guards, simulations, stage

BETWEEN_LOOKS = 0.1
"""Seconds after which an abandoned render is looked at again."""


def render_still(scene, time: float, size: tuple[int, int], path: Path) -> None:
    """Render a scene to a PNG, with its view transform.

    Args:
        scene: the user's.
        time: in scene frames; may lie between two.
        size: width and height in pixels. The picture is the part of the camera's frame that the masks are
            made of: see :func:`cameras.view`.
        path: of the PNG.

    Raises:
        PeekabooError: Blender is rendering, or cannot render the scene.
    """
    with prepared(scene, time, size, path) as copy, guards.undisturbed(scene, copy) as handlers:
        current = bpy.context.scene
        current.frame_current, current.frame_subframe = copy.frame_current, copy.frame_subframe
        try:
            with handlers.told():
                bpy.ops.render.render(write_still=True, scene=copy.name)
        except RuntimeError as error:  # which Blender makes of what it reports
            raise _failed(str(error).strip()) from error
    if not path.is_file():
        raise _failed("it was cancelled")


def render_in_turns(scene, time: float, size: tuple[int, int], path: Path) -> Iterator[None]:
    """The same as Blender's own *Render Image*, which goes on beside what the window draws.

    Where the turns are not taken to their end, the copy is removed once Blender is done with it.

    Yields:
        After each look at whether it is done.

    Raises:
        CancelledError: Escape was pressed, which Blender itself takes then.
    """
    with ExitStack() as stack:
        copy = stack.enter_context(prepared(scene, time, size, path))
        stack.enter_context(stack.enter_context(guards.kept(scene, copy)).told())
        cancelled = stack.enter_context(_cancelled())
        view = bpy.context.preferences.view
        shown_in, view.render_display_type = view.render_display_type, "NONE"
        try:
            bpy.ops.render.render("INVOKE_DEFAULT", write_still=True, scene=copy.name)
        except RuntimeError as error:
            raise _failed(str(error).strip()) from error
        finally:
            view.render_display_type = shown_in
        rest = stack.pop_all()
    try:
        while windows.is_rendering():
            yield
    finally:
        _close_when_done(rest)
    if cancelled:
        raise CancelledError("The render of the clip's picture was cancelled: nothing was made.")
    if not path.is_file():
        raise _failed("Blender wrote no file")


@contextmanager
def _cancelled() -> Iterator[list[bool]]:
    """A list that is empty until a render is cancelled: Blender itself takes Escape, and tells handlers."""
    told: list[bool] = []

    def tell(*_) -> None:
        told.append(True)

    bpy.app.handlers.render_cancel.append(tell)
    try:
        yield told
    finally:
        if tell in bpy.app.handlers.render_cancel:  # opening a file has Blender forget it
            bpy.app.handlers.render_cancel.remove(tell)


def _close_when_done(stack: ExitStack) -> None:
    def close() -> float | None:
        if windows.is_rendering():
            return BETWEEN_LOOKS
        stack.close()
        return None

    if close() is not None:
        bpy.app.timers.register(close, first_interval=BETWEEN_LOOKS, persistent=True)


@contextmanager
def prepared(scene, time: float, size: tuple[int, int], path: Path) -> Iterator:
    """A temporary copy of a scene that has only to be rendered; see :func:`render_still`."""
    if windows.is_rendering():
        raise PeekabooError("Blender is rendering, and the clip's picture has to wait: try again after that.")
    camera = cameras.camera_at(scene, time)
    objects = list(scene.objects)
    simulations.check_bodies(scene, objects)
    if moving := [one for one in simulations.unbaked(scene, objects) if one.start < time]:
        raise simulations.UnbakedError(moving)
    with stage.temporary_copy(scene, "Peekaboo First Frame") as copy, compat.own_compositor(copy) as tree:
        copy.camera = camera
        copy.timeline_markers.clear()  # which would choose another
        copy.frame_current, copy.frame_subframe = math.floor(time), time % 1
        render = copy.render
        _frame(render, *size)
        render.use_sequencer = False  # where clips lie that were made before
        render.use_multiview = render.use_persistent_data = False
        stamps = [prop.identifier for prop in render.bl_rna.properties if "use_stamp" in prop.identifier]
        for name in stamps:  # paths and times, without which the same picture is the same file
            setattr(render, name, False)
        render.filepath, render.use_file_extension = compat.literal_path(path), True
        compat.set_picture_output(render)
        render.image_settings.color_management = "FOLLOW_SCENE"
        if tree is not None and render.use_compositing and compat.composites_nothing(tree):
            raise PeekabooError(
                "The clip's picture was not rendered, as the scene's compositor has no Group Output: add "
                "one, or turn off Compositing in the Post Processing of the Output properties."
            )
        _write_no_other_files(copy, tree)
        yield copy


def _failed(reason: str) -> PeekabooError:
    return PeekabooError(
        f"The clip's picture was not rendered ({reason}): render the scene with F12 to see why, or take a "
        "picture of yours."
    )


def _frame(render, width: int, height: int) -> None:
    """Let a render make so many pixels, and these of the part of its frame that masks are made of."""
    center_x, center_y, half_x, half_y = cameras.window(render, width / height)
    whole = [max(pixels, round(pixels / half)) for pixels, half in ((width, half_x), (height, half_y))]
    render.resolution_x, render.resolution_y = whole
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1
    first_x, first_y = (
        min(max(0, round((center + 1) / 2 * all_ - pixels / 2)), all_ - pixels)
        for center, all_, pixels in zip((center_x, center_y), whole, (width, height), strict=True)
    )
    render.use_border = render.use_crop_to_border = True
    # Blender rounds down, in single precision
    render.border_min_x, render.border_max_x = ((x + 0.5) / whole[0] for x in (first_x, first_x + width))
    render.border_min_y, render.border_max_y = ((y + 0.5) / whole[1] for y in (first_y, first_y + height))


def _write_no_other_files(copy, tree) -> None:
    """Mute what would write files in the compositor of a copy; that is off where it is deeper in it."""
    for node in tree.nodes if tree else ():
        if node.type == "OUTPUT_FILE":
            node.mute = True
        elif _holds_file_output(node):
            copy.render.use_compositing = False


def _holds_file_output(node) -> bool:
    if node.type != "GROUP" or node.node_tree is None:
        return False
    return any(inner.type == "OUTPUT_FILE" or _holds_file_output(inner) for inner in node.node_tree.nodes)
