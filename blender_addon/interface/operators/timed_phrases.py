# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators of the list of phrases over time."""

import bpy
from bpy.props import IntProperty, StringProperty

from ...errors import PeekabooError
from ...shot import shots, timed_phrases


class PEEKABOO_OT_add_timed_phrase(bpy.types.Operator):
    """Let words of the prompt count in some frames alone, from the current one to the end of its shot"""

    bl_idname = "peekaboo.add_timed_phrase"
    bl_label = "Add Phrase Over Time"
    bl_options = {"REGISTER", "UNDO"}

    phrase: StringProperty(name="Phrase", description="Words of the prompt, as they stand there")

    def execute(self, context):
        """Add it at the end of the list."""
        scene = context.scene
        try:
            last = shots.shot_at(scene, scene.frame_current).last
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        entry = scene.peekaboo.timed_phrases.add()
        entry.phrase = self.phrase
        entry.frame_start, entry.frame_end = scene.frame_current, max(scene.frame_current, last)
        return {"FINISHED"}


class PEEKABOO_OT_remove_timed_phrase(bpy.types.Operator):
    """Take the words off the list: they count in all frames again"""

    bl_idname = "peekaboo.remove_timed_phrase"
    bl_label = "Remove Phrase Over Time"
    bl_options = {"REGISTER", "UNDO"}

    index: IntProperty(name="Index", description="Its place in the list", min=0, options={"HIDDEN"})

    def execute(self, context):
        """Remove it."""
        listed = context.scene.peekaboo.timed_phrases
        if self.index >= len(listed):
            return {"CANCELLED"}
        listed.remove(self.index)
        return {"FINISHED"}


class PEEKABOO_OT_take_timed_phrases(bpy.types.Operator):
    """Take phrases and frames from timeline markers: each shows the words in quotes in its name, such as
    "in rain", up to the next that has quotes; "" shows none. Press it again after moving markers"""

    bl_idname = "peekaboo.take_timed_phrases"
    bl_label = "From Markers"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        """Put them into the list."""
        try:
            count = timed_phrases.take_from_markers(context.scene)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{count} phrases over time are those of the markers")
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (PEEKABOO_OT_add_timed_phrase, PEEKABOO_OT_remove_timed_phrase, PEEKABOO_OT_take_timed_phrases)
)
