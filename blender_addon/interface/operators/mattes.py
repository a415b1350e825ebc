# SPDX-License-Identifier: GPL-3.0-or-later
"""Operator that writes masks for other programs."""

import bpy
from bpy.props import EnumProperty, StringProperty

from ... import paths
from ...errors import PeekabooError
from ...shot import subjects
from ...shot.mattes import write_mattes


class PEEKABOO_OT_export_masks(bpy.types.Operator):
    """Write the masks of all frames at the scene's size, for compositing and other programs"""

    bl_idname = "peekaboo.export_masks"
    bl_label = "Export Masks"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", description="Gets the files", subtype="DIR_PATH")
    kind: EnumProperty(
        name="Format",
        description="What is written",
        items=[
            ("png", "PNG per Subject", "A black-and-white picture of each subject and frame"),
            ("exr", "Cryptomatte", "An OpenEXR file of each frame, with colors, depth and Cryptomatte"),
        ],
    )

    @classmethod
    def poll(cls, context):
        """The scene has a subject."""
        if not subjects.marked(context.scene):
            cls.poll_message_set("Add a subject first")
            return False
        return True

    def invoke(self, context, _event):
        """Ask for the folder."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        """Write, with the progress at the cursor."""
        manager = context.window_manager
        manager.progress_begin(0, 1)
        try:
            written = write_mattes(
                context.scene,
                self.kind,
                paths.absolute(self.directory),
                lambda done, total: manager.progress_update(done / total),
            )
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            manager.progress_end()
        what = "folders of pictures" if self.kind == "png" else "files"
        self.report({"INFO"}, f"Wrote {len(written)} {what} to {self.directory}")
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_export_masks,))
