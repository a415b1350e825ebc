# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators of the list of LoRAs."""

import bpy
from bpy.props import IntProperty, StringProperty


class PEEKABOO_OT_add_lora(bpy.types.Operator):
    """Add a LoRA to the shot: a file, or one in a repository, whose name can be typed into its line later"""

    bl_idname = "peekaboo.add_lora"
    bl_label = "Add LoRA"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(name="File", description="The .safetensors file", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.safetensors", options={"HIDDEN"})

    def invoke(self, context, _event):
        """Ask for the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        """Add it at the end of the list, in force."""
        item = context.scene.peekaboo.lora_list.add()
        item.source = self.filepath
        return {"FINISHED"}


class PEEKABOO_OT_remove_lora(bpy.types.Operator):
    """Take the LoRA off the shot's list"""

    bl_idname = "peekaboo.remove_lora"
    bl_label = "Remove LoRA"
    bl_options = {"REGISTER", "UNDO"}

    index: IntProperty(name="Index", description="Its place in the list", min=0, options={"HIDDEN"})

    def execute(self, context):
        """Remove it."""
        listed = context.scene.peekaboo.lora_list
        if self.index >= len(listed):
            return {"CANCELLED"}
        listed.remove(self.index)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_add_lora, PEEKABOO_OT_remove_lora))
