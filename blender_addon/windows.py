# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's windows: what the user is doing in them, and our panels in them."""

from typing import Any

import bpy

REGIONS = {"VIEW_3D": "UI", "SEQUENCE_EDITOR": "UI", "PREFERENCES": "WINDOW"}
"""Where our panels are drawn."""

SAY_SECONDS = 10.0
"""How long a sentence stays in the status bar."""

WORKING = {"RENDER_OT_render", "RENDER_OT_opengl", "PEEKABOO_OT_work_in_turns"}
"""Operators that render, or have the scene at another time, while they listen."""


def is_rendering() -> bool:
    """Whether Blender renders or bakes beside what is done here."""
    return bool(bpy.app.is_job_running("RENDER")) or bool(bpy.app.is_job_running("OBJECT_BAKE"))


def is_hand_busy() -> bool:
    """Whether a modal operator is at work that what we do with the scene would disturb.

    In its middle no undo step must fall. Others may listen all the time, such as add-ons that show pressed
    keys.
    """
    return any(
        operator.bl_options & {"UNDO", "BLOCKING"} or operator.bl_idname in WORKING
        for window in bpy.context.window_manager.windows
        for operator in window.modal_operators
    )


def is_playing() -> bool:
    """Whether an animation is played in some window."""
    return any(window.screen.is_animation_playing for window in bpy.context.window_manager.windows)


def say(text: str) -> None:
    """Show a sentence in the status bar of all windows, for :data:`SAY_SECONDS`."""
    for workspace in bpy.data.workspaces:
        workspace.status_text_set(text)
    if bpy.app.timers.is_registered(_say_no_more):
        bpy.app.timers.unregister(_say_no_more)
    bpy.app.timers.register(_say_no_more, first_interval=SAY_SECONDS, persistent=True)


def _say_no_more() -> float | None:
    """Give the status bar back; not while a tool may say something there."""
    if is_hand_busy():
        return 1.0
    for workspace in bpy.data.workspaces:
        workspace.status_text_set(None)
    return None


def view_sequences() -> None:
    """Let all sequencers and their previews show everything."""
    views: Any = (bpy.ops.sequencer.view_all, bpy.ops.sequencer.view_all_preview)
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type != "SEQUENCE_EDITOR":
                continue
            for region in area.regions:
                if region.type not in {"WINDOW", "PREVIEW"}:
                    continue
                with bpy.context.temp_override(window=window, area=area, region=region):
                    for view in views:
                        if view.poll():
                            view()


def redraw_camera_views(scene_uid: int | None = None, frames: range | None = None) -> None:
    """Let viewports draw again that look through a camera.

    Args:
        scene_uid: the ``session_uid`` of the scene that they are to show; any by default.
        frames: of which it is to be at one; any by default.
    """
    for window in bpy.context.window_manager.windows:
        if scene_uid not in (None, window.scene.session_uid):
            continue
        if frames is not None and window.scene.frame_current not in frames:
            continue
        for area in window.screen.areas:
            space: Any = area.spaces.active
            if area.type == "VIEW_3D" and space.region_3d.view_perspective == "CAMERA":
                for region in area.regions:
                    if region.type == "WINDOW":
                        region.tag_redraw()


def redraw() -> None:
    """Let our panels draw again."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if region.type == REGIONS.get(area.type):
                    region.tag_redraw()
