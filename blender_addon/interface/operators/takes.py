# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on the takes in a sequencer."""

import shutil
import sys

import bpy

from ... import compat
from ...borders import places
from ...errors import PeekabooError
from ...shot import restoring
from ...takes import mask_strips, strips


class OnActiveTake:
    """An operator whose ``act(scene, strip)`` does something with the active take."""

    @classmethod
    def poll(cls, context):
        """A take is active in the sequencer."""
        if strips.active_take(compat.edited_scene(context)) is None:
            cls.poll_message_set("Choose a take first")
            return False
        return True

    def execute(self, context):
        """Do it, or say why not."""
        scene = compat.edited_scene(context)
        try:
            self.act(scene, strips.active_take(scene))
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class PEEKABOO_OT_restore_settings(OnActiveTake, bpy.types.Operator):
    """Set the shot, its subjects and its frames as they were for the active take; objects stay in place"""

    bl_idname = "peekaboo.restore_settings"
    bl_label = "Restore Settings"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, scene, strip):
        """Set the scene, and name what is gone."""
        if left := restoring.restore(scene, strips.job_of(strip)):
            self.report({"WARNING"}, f"Restored, except that {', and '.join(left)}.")


class PEEKABOO_OT_show_masks(OnActiveTake, bpy.types.Operator):
    """Put the masks of the active take over it as a strip, or take that away again"""

    bl_idname = "peekaboo.show_masks"
    bl_label = "Show Masks"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, scene, strip):
        """Add the strip, or remove it."""
        if mask_strips.shown_over(scene, strip) is None:
            mask_strips.show(scene, strip)
        else:
            mask_strips.hide(scene, strip)


class PEEKABOO_OT_open_take(OnActiveTake, bpy.types.Operator):
    """Open the folder of the active take: the clip, what made it, and the masks"""

    bl_idname = "peekaboo.open_take"
    bl_label = "Open Folder"
    bl_options = {"REGISTER"}

    def act(self, _scene, strip):
        """Open it in the system's file browser."""
        folder = strips.folder_of(strip)
        if not places.is_folder(folder):
            raise PeekabooError(f'The folder "{folder}" is gone: generate the take again.')
        if sys.platform == "darwin" and folder.suffix:  # a program may be a folder there, and would be run
            raise PeekabooError(f'"{folder}" may be a program: open it in the Finder yourself.')
        if sys.platform == "linux" and shutil.which("xdg-open") is None:  # which Blender would hide
            raise PeekabooError(
                f'There is no xdg-open to show "{folder}" with: install xdg-utils, or go there yourself.'
            )
        bpy.ops.wm.path_open(filepath=str(folder))


class PEEKABOO_OT_standard_view(bpy.types.Operator):
    """Set the scene's view transform to Standard, which shows clips in the colors that they have on disk"""

    bl_idname = "peekaboo.standard_view"
    bl_label = "Set View Transform to Standard"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        """Set it."""
        compat.edited_scene(context).view_settings.view_transform = "Standard"
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        PEEKABOO_OT_restore_settings,
        PEEKABOO_OT_show_masks,
        PEEKABOO_OT_open_take,
        PEEKABOO_OT_standard_view,
    )
)
