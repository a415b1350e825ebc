# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that animate subjects."""

import bpy
from bpy.props import EnumProperty, FloatProperty

from ...authoring import keyframing, motions
from ...errors import PeekabooError


class PEEKABOO_OT_animate_subject(bpy.types.Operator):
    """Let the selected subjects move in the camera's picture, by new keyframes over this shot"""

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
        """Some subject is chosen, all that are can be moved, and there is a camera to see them."""
        chosen = _chosen(context)
        if not chosen:
            cls.poll_message_set("Select subjects, or choose one in the list, first")
        elif context.mode != "OBJECT":
            cls.poll_message_set("Go to Object Mode first")
        elif not all(obj.is_editable for obj in chosen):
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
                _chosen(context),
                context.evaluated_depsgraph_get(),
                self.motion,
                self.depth,
                self.size,
            )
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


def _chosen(context) -> list:
    """The subjects that are selected, and the one that is active."""
    objects = {*context.selected_objects, context.object} - {None}
    return sorted((obj for obj in objects if obj.peekaboo.is_subject), key=lambda obj: obj.name)


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_animate_subject,))
