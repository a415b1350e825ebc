# SPDX-License-Identifier: GPL-3.0-or-later
"""Operator that writes masks for other programs."""

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ... import paths
from ...errors import PeekabooError
from ...shot import mattes
from . import turns


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

    in_turns: BoolProperty(
        description="Go on after each frame with what the user does, who may cancel",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    def invoke(self, context, _event):
        """Ask for the folder."""
        self.in_turns = True
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        """Write: all at once for a script, a frame a turn for a user."""
        try:
            if not self.directory:
                raise PeekabooError("No folder was chosen for the masks: choose one.")
            folder = paths.absolute(self.directory)
            if self.in_turns:
                return turns.begin(mattes.write_in_turns(context.scene, self.kind, folder, self.smooth))
            written = mattes.write_mattes(context.scene, self.kind, folder, smooth=self.smooth)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        what = "files" if self.kind == "exr" else "folders of pictures"
        self.report({"INFO"}, f"Wrote {len(written)} {what} to {self.directory}")
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_export_masks,))
