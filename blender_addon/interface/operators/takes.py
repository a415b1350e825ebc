# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on the takes in a sequencer."""

import math
import shutil
import sys
from contextlib import suppress

import bpy
from bpy.props import BoolProperty, StringProperty

from ... import compat, paths
from ...borders import places
from ...errors import PeekabooError
from ...shot import restoring
from ...takes import folders, mask_strips, moving, reels, strips


class OnActiveTake:
    """An operator whose ``act(scene, strip)`` does something with the active take."""

    @classmethod
    def poll(cls, context):
        """A take is active in the sequencer."""
        if reels.active_take(reels.edited_scene(context)) is None:
            cls.poll_message_set("Choose a take first")
            return False
        return True

    def execute(self, context):
        """Do it, or say why not."""
        scene = reels.edited_scene(context)
        try:
            self.act(scene, self.taken(scene))
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def taken(self, scene):
        """The take that is meant."""
        return reels.active_take(scene)


class OnNamedTake(OnActiveTake):
    """The same for one that asks first: a clip that comes meanwhile is the active one then, and not meant."""

    take: StringProperty(
        name="Take",
        description="Name of its strip; the active one by default",
        options={"SKIP_SAVE", "HIDDEN"},
    )

    def taken(self, scene):
        """The take of that name; raises PeekabooError where it is gone."""
        return reels.take_named(scene, self.take) if self.take else super().taken(scene)


class PEEKABOO_OT_restore_settings(OnActiveTake, bpy.types.Operator):
    """Set the shot, its subjects and its frames as they were for the active take; objects stay in place"""

    bl_idname = "peekaboo.restore_settings"
    bl_label = "Restore Settings"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, scene, strip):
        """Set the scene, and name what is gone."""
        job = strips.job_of(strip)
        folder = None
        with suppress(PeekabooError):  # a path beside a .blend that was never saved: settings come back yet
            folder = strips.folder_of(strip) / "job"
        if left := restoring.restore(scene, job, folder):
            self.report({"WARNING"}, f"Restored, except that {', and '.join(left)}.")


class PEEKABOO_OT_show_masks(OnActiveTake, bpy.types.Operator):
    """Put the masks of the active take over it as a strip, or take that away again"""

    bl_idname = "peekaboo.show_masks"
    bl_label = "Show Masks"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, scene, strip):
        """Add the strip, or remove it."""
        if mask_strips.shown_over(strip) is None:
            mask_strips.show(scene, strip)
        else:
            mask_strips.hide(strip)


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


class PEEKABOO_OT_import_take(bpy.types.Operator):
    """Put a clip that was made before into the sequencer as a take, from the folder that it lies in"""

    bl_idname = "peekaboo.import_take"
    bl_label = "Import Take"
    bl_options = {"REGISTER", "UNDO"}

    directory: StringProperty(name="Folder", description="Of the take", subtype="DIR_PATH")
    filter_folder: BoolProperty(name="Folders", description="Show folders", default=True, options={"HIDDEN"})

    def invoke(self, context, _event):
        """Ask for the folder, among those of the scene's takes."""
        self.directory = reels.edited_scene(context).peekaboo.output_folder
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        """Add the strip, and say where it is and what is unlike."""
        scene = reels.edited_scene(context)
        try:
            strip = folders.import_take(scene, paths.absolute(self.directory))
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        timing = strips.job_of(strip)["timing"]
        own, rate = scene.render.fps / scene.render.fps_base, timing["fps"] / timing["fps_base"]
        if not math.isclose(own, rate, rel_tol=1e-4):
            text = f"The take was made for {rate:.4g} frames a second, and the scene has {own:.4g}"
            self.report({"WARNING"}, text)
        if doubt := folders.doubt_of(strip):
            self.report({"WARNING"}, doubt)
        start, end = compat.strip_range(strip)
        self.report({"INFO"}, f"The take is in channel {strip.channel}, frames {start} to {end - 1}")
        return {"FINISHED"}


class PEEKABOO_OT_move_takes(bpy.types.Operator):
    """Move the takes to the sequencer that Takes In names, as they lie; their files stay where they are"""

    bl_idname = "peekaboo.move_takes"
    bl_label = "Move Takes"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """They are elsewhere."""
        if not reels.misplaced(reels.edited_scene(context)):
            cls.poll_message_set("The takes are where Takes In says")
            return False
        return True

    def execute(self, context):
        """Move them, and say why some stay."""
        for problem in moving.move(reels.edited_scene(context)):
            self.report({"WARNING"}, problem)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        PEEKABOO_OT_restore_settings,
        PEEKABOO_OT_show_masks,
        PEEKABOO_OT_open_take,
        PEEKABOO_OT_import_take,
        PEEKABOO_OT_move_takes,
    )
)
