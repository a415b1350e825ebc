# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that make a take anew from its clip."""

import bpy
from bpy.props import FloatProperty, StringProperty

from ...engine import catalogue
from ...making import refining
from ...takes import reels
from .generate import MakesClips
from .takes import OnNamedTake

STRENGTH = 0.6
"""As the engine has it where a job does not say."""


def _refiners(_operator, _context, _text):
    return [(name, entry["title"]) for name, entry in catalogue.refiners().items()]


class _Refines:
    model: StringProperty(
        name="Model",
        description="Name of a model that makes clips from others, or the path of a diffusers folder",
        search=_refiners,
        search_options={"SUGGESTION"},
        options={"SKIP_SAVE"},
    )
    strength: FloatProperty(
        name="Strength",
        description="Share of the sampling that is done to the clip: the more, the less of it is left",
        subtype="FACTOR",
        default=STRENGTH,
        min=0.01,
        max=1.0,
        options={"SKIP_SAVE"},
    )


class PEEKABOO_OT_refine(_Refines, MakesClips, OnNamedTake, bpy.types.Operator):
    """Make the active take anew from its own clip, larger or finer; the new clip will lie above it"""

    bl_idname = "peekaboo.refine"
    bl_label = "Refine"
    bl_options = {"REGISTER"}  # no UNDO: see Generate

    def orders(self, context):
        """The take once more, by another model."""
        scene = reels.edited_scene(context)
        yield refining.order_refined(scene, self.taken(scene), self.model, self.strength)


class PEEKABOO_OT_ask_refine(_Refines, OnNamedTake, bpy.types.Operator):
    """Make the active take anew from its own clip, larger or finer; the new clip will lie above it"""

    bl_idname = "peekaboo.ask_refine"
    bl_label = "Refine"
    bl_options = {"INTERNAL"}

    def invoke(self, context, _event):
        """Ask for the model, the one that is here by default."""
        self.take = reels.active_take(reels.edited_scene(context)).name
        known = catalogue.refiners()
        here = [name for name in known if catalogue.state(name) == "downloaded"]
        self.model = self.model or next(iter([*reversed(here), *reversed(known)]))
        return context.window_manager.invoke_props_dialog(self, confirm_text="Refine")

    def execute(self, _context):
        """Begin: what is pressed queues, and does not wait."""
        bpy.ops.peekaboo.refine("INVOKE_DEFAULT", take=self.take, model=self.model, strength=self.strength)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_refine, PEEKABOO_OT_ask_refine))
