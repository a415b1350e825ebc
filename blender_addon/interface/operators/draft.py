# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that make a draft of a text."""

from typing import ClassVar

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ...authoring import placing
from ...errors import PeekabooError
from ...making import drafting, engine_choice
from .layouts import BeforeCamera

PLANNERS = [
    ("BUILT_IN", "Built In", "Reads plain English; offline and at once"),
    ("MODEL", "Language Model", "Asks the server of the preferences: Ollama, llama.cpp, vLLM or a service"),
]


class PEEKABOO_OT_draft(BeforeCamera, bpy.types.Operator):
    """Plan keyframed subjects from a sentence; they are shown before they are made"""

    bl_idname = "peekaboo.draft"
    bl_label = "Draft from Text..."
    bl_options: ClassVar[set[str]] = set()  # in a window it only asks: applying is the step of undo

    text: StringProperty(
        name="Text",
        description='What is to be seen, such as "a red ball rolls from left to right behind a blue cube"; '
        'for a change, what is to be otherwise, such as "make the cube wait until the middle"',
        maxlen=2000,
        options={"SKIP_SAVE"},
    )
    planner: EnumProperty(name="Planner", description="Who reads the text", items=PLANNERS)
    change: BoolProperty(
        name="Change",
        description="Change the subjects that are there; those that the text does not name stay as they are",
        default=False,
    )

    def invoke(self, context, _event):
        """Ask for the text."""
        return context.window_manager.invoke_props_dialog(self, width=600)

    def draw(self, _context):
        """Draw the dialog."""
        column = self.layout.column()
        column.use_property_split = True
        column.prop(self, "text", placeholder="a red ball rolls from left to right behind a blue cube")
        column.prop(self, "planner", expand=True)
        column.prop(self, "change")

    def execute(self, context):
        """Ask the planner, in the background where there is a window; else wait, and apply."""
        try:
            server = engine_choice.language_server() if self.planner == "MODEL" else None
            if bpy.app.background:
                made = drafting.wait(context.scene, self.text, server, self.change)
                return _apply(self, context, made)
            drafting.ask(context.scene, self.text, server, self.change)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class PEEKABOO_OT_apply_draft(bpy.types.Operator):
    """Make the subjects of the draft: empties with keyframes before the camera, and the prompt"""

    bl_idname = "peekaboo.apply_draft"
    bl_label = "Apply Draft"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """There is a draft for this scene."""
        if drafting.pending(context.scene) is None:
            cls.poll_message_set("Draft something from a text first")
        elif context.mode != "OBJECT":
            cls.poll_message_set("Go to Object Mode first")
        else:
            return True
        return False

    def execute(self, context):
        """Apply it."""
        try:
            return _apply(self, context, drafting.pending(context.scene))
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}


def _apply(operator, context, made) -> set[str]:
    objects, notes = drafting.apply(context.scene, made, placing.collection_of(context))
    for obj in context.view_layer.objects.selected:
        obj.select_set(False)
    for obj in objects:
        if context.view_layer.objects.get(obj.name) == obj:
            obj.select_set(True)
            context.view_layer.objects.active = obj
    for note in [*made.notes, *notes]:
        operator.report({"WARNING"}, note)
    return {"FINISHED"}


class PEEKABOO_OT_discard_draft(bpy.types.Operator):
    """Throw the draft away, or end the planner that is at work"""

    bl_idname = "peekaboo.discard_draft"
    bl_label = "Discard Draft"
    bl_options = {"INTERNAL"}

    def execute(self, _context):
        """Discard it; the scene was not changed."""
        drafting.cancel()
        drafting.discard()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (PEEKABOO_OT_draft, PEEKABOO_OT_apply_draft, PEEKABOO_OT_discard_draft)
)
