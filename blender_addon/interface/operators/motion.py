# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that animate subjects."""

import bpy
from bpy.props import EnumProperty, FloatProperty

from ...authoring import keyframing, motions
from ...errors import PeekabooError


class PEEKABOO_OT_animate_subject(bpy.types.Operator):
    """Keyframe the active subject in view of the camera, replacing its keyframes of location and scale"""

    bl_idname = "peekaboo.animate_subject"
    bl_label = "Animate Subject"
    bl_options = {"REGISTER", "UNDO"}

    motion: EnumProperty(
        name="Motion",
        description="How the subject moves",
        items=[(name, motion.title, motion.description) for name, motion in motions.MOTIONS.items()],
    )
    size: FloatProperty(
        name="Size",
        description="How much of the picture's width or height it takes up, whichever is more, where that "
        "fits; 0 keeps its own size",
        subtype="FACTOR",
        default=0.35,
        min=0.0,
        soft_min=0.05,
        max=0.95,
    )
    depth: FloatProperty(
        name="Distance",
        description="From the camera, where it is nearest; 0 keeps its own distance",
        subtype="DISTANCE",
        default=0.0,
        min=0.0,
        soft_max=100.0,
    )

    @classmethod
    def poll(cls, context):
        """The active object is a subject that can be moved, and there is a camera to see it."""
        obj = context.object
        if obj is None or not obj.peekaboo.is_subject:
            cls.poll_message_set("Choose a subject in the list first")
        elif context.mode != "OBJECT":
            cls.poll_message_set("Go to Object Mode first")
        elif not obj.is_editable:
            cls.poll_message_set("The subject is linked from another file: make a library override of it")
        elif context.scene.camera is None:
            cls.poll_message_set("Add a camera to the scene first")
        else:
            return True
        return False

    def execute(self, context):
        """Insert the keyframes."""
        try:
            keyframing.animate(
                context.scene,
                context.object,
                context.evaluated_depsgraph_get(),
                self.motion,
                self.depth,
                self.size,
            )
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_animate_subject,))
