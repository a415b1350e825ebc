# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that cut a scene into shots."""

import bpy

from ...errors import PeekabooError
from ...masks import cameras
from ...shot import shots, timed_phrases


class PEEKABOO_OT_add_shot(bpy.types.Operator):
    """Begin a shot at the current frame: add a marker that cuts to the selected camera, or the scene's"""

    bl_idname = "peekaboo.add_shot"
    bl_label = "Add Shot"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """There is a camera, and no shot begins here yet."""
        scene = context.scene
        if _camera_for_shot(context) is None:
            cls.poll_message_set("Add a camera to the scene first")
        elif any(marker.frame == scene.frame_current for marker in cameras.bound_markers(scene)):
            cls.poll_message_set("A shot begins at this frame already: go to another one")
        else:
            return True
        return False

    def execute(self, context):
        """Add the marker."""
        scene, camera = context.scene, _camera_for_shot(context)
        scene.timeline_markers.new(camera.name, frame=scene.frame_current).camera = camera
        scene.camera = cameras.camera_at(scene, scene.frame_current)
        return {"FINISHED"}


class PEEKABOO_OT_remove_shot(bpy.types.Operator):
    """Take the marker of this shot away, with the prompt and the seed of its own; the shot before goes on"""

    bl_idname = "peekaboo.remove_shot"
    bl_label = "Remove Shot"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """A marker begins the shot at the current frame."""
        if _marker_here(context.scene) is None:
            cls.poll_message_set("No marker with a camera begins a shot here")
            return False
        return True

    def execute(self, context):
        """Remove the marker, or only its camera where it says which words show from there on."""
        scene = context.scene
        marker = _marker_here(scene)
        if timed_phrases.names_words(marker):
            marker.camera = None
        else:
            scene.timeline_markers.remove(marker)
        scene.camera = cameras.camera_at(scene, scene.frame_current)
        return {"FINISHED"}


def _marker_here(scene):
    """The marker of the shot at a scene's current frame; None without."""
    try:
        index = shots.shot_at(scene, scene.frame_current).marker
    except PeekabooError:
        return None
    return None if index is None else scene.timeline_markers[index]


def _camera_for_shot(context):
    active = context.object
    chosen = active is not None and active.type == "CAMERA" and active.select_get()
    return active if chosen else context.scene.camera


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_add_shot, PEEKABOO_OT_remove_shot))
