# SPDX-License-Identifier: GPL-3.0-or-later
"""Operator that writes masks for other programs."""

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ... import paths
from ...errors import PeekabooError
from ...shot import mattes, subjects


class PEEKABOO_OT_export_masks(bpy.types.Operator):
    """Write what the camera sees in all frames, at the scene's size, for compositing and other programs"""

    bl_idname = "peekaboo.export_masks"
    bl_label = "Export Masks"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", description="Gets the files", subtype="DIR_PATH")
    kind: EnumProperty(
        name="Format",
        description="What is written",
        items=[(kind, label, about) for kind, (label, about) in mattes.KINDS.items()],
    )
    smooth: BoolProperty(
        name="Smooth Edges",
        description="Let pixels at edges be a subject's in part. Only for masks and Cryptomattes",
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

        def progress(done: int, total: int) -> None:
            manager.progress_update(done / total)

        manager.progress_begin(0, 1)
        try:
            if not self.directory:
                raise PeekabooError("No folder was chosen for the masks: choose one.")
            folder = paths.absolute(self.directory)
            written = mattes.write_mattes(context.scene, self.kind, folder, progress, progress, self.smooth)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            manager.progress_end()
        what = "files" if self.kind == "exr" else "folders of pictures"
        self.report({"INFO"}, f"Wrote {len(written)} {what} to {self.directory}")
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_export_masks,))
