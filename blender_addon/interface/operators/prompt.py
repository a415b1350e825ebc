# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that write the prompt in a dialog, and that take a subject's phrase from it."""

import bpy
from bpy.props import StringProperty

from ... import compat
from ...errors import PeekabooError, shown
from ...making import generation
from ...shot import phrases, prompt, shots, subjects
from ..icons import chip_of
from ..sidebar import draw_colored, draw_sentence, line_width
from ..typesetting import text_width

DIALOG_WIDTH, WORDS_WIDTH = 800, 420
"""Pixels at scale 1 of the dialogs: of texts, about a hundred letters, and of words to pick."""
PROMPT_LINES, OTHER_LINES = 5, 2
"""Lines of a box for the prompt, and for what is not wanted or of a shot."""
WORD_PADDING, CHIP_WIDTH, UNIT = 14.0, 18.0, 20.0
"""Pixels at scale 1 that a button takes beside its word, and for a chip; and of a layout's unit."""


class PEEKABOO_OT_edit_prompt(bpy.types.Operator):
    """Write the prompt, and what is not wanted, in lines that are wide enough to read them"""

    bl_idname = "peekaboo.edit_prompt"
    bl_label = "Edit Prompt"
    bl_options = {"INTERNAL"}

    def invoke(self, context, _event):
        """Open the dialog."""
        return context.window_manager.invoke_props_dialog(self, width=DIALOG_WIDTH)

    def draw(self, context):
        """Draw the texts of the scene and of its shots; they take effect as they are typed."""
        layout, scene = self.layout, context.scene
        compat.draw_text(layout, scene.peekaboo, "prompt", PROMPT_LINES, "a red ball on grass")
        draw_colored(layout, context, scene.peekaboo.prompt, prompt.colored(scene), DIALOG_WIDTH)
        if cut := generation.cut_of(scene, scene.peekaboo.prompt):
            draw_sentence(layout, context, cut, "ERROR", DIALOG_WIDTH)
        layout.label(text="Not Wanted")
        compat.draw_text(layout, scene.peekaboo, "negative_prompt", OTHER_LINES, "blurry, text, ...")
        for shot in shots.shots_of(scene):
            if shot.marker is not None:
                own = scene.timeline_markers[shot.marker].peekaboo
                layout.label(text=shown(shot.title), icon="VIEW_CAMERA")
                compat.draw_text(layout, own, "prompt", OTHER_LINES, "as the scene")
                if shot.is_own_prompt:
                    places = prompt.colored(scene, shot)
                    draw_colored(layout, context, shot.prompt, places, DIALOG_WIDTH)
        if problem := prompt.problem_of_shots(scene):
            draw_sentence(layout, context, problem, "ERROR", DIALOG_WIDTH)

    def execute(self, _context):
        """Close it."""
        return {"FINISHED"}


class _OfActiveSubject:
    """An operator on the active subject's phrase."""

    @classmethod
    def poll(cls, context):
        """The active object is a subject that keeps what is set."""
        obj = context.object
        if obj is None or not obj.peekaboo.is_subject:
            cls.poll_message_set("Choose a subject in the list first")
            return False
        if not subjects.is_kept(obj):
            cls.poll_message_set("The subject is linked from another file: make a library override of it")
            return False
        return True


class PEEKABOO_OT_pick_phrase(_OfActiveSubject, bpy.types.Operator):
    """Choose the words of the prompt that name the active subject, by clicks on them"""

    bl_idname = "peekaboo.pick_phrase"
    bl_label = "Pick Phrase"
    bl_options = {"INTERNAL"}

    def invoke(self, context, _event):
        """Show the words, until the mouse leaves them."""
        if not _prompt_here(context).strip():
            self.report({"ERROR"}, "There is no prompt yet to pick words of: write one first.")
            return {"CANCELLED"}
        return context.window_manager.invoke_popup(self, width=WORDS_WIDTH)

    def draw(self, context):
        """Draw a button for each word, pressed where it is of the phrase."""
        layout = self.layout
        if not self.poll(context):
            return
        layout.label(text=f"Words That Name {shown(context.object.name)}", icon="EYEDROPPER")
        _draw_words(layout, context)
        draw_sentence(
            layout, context, "Click a word, and Shift-click the last of several.", "INFO", WORDS_WIDTH
        )

    def execute(self, _context):
        """Close it."""
        return {"FINISHED"}


class PEEKABOO_OT_set_phrase(_OfActiveSubject, bpy.types.Operator):
    """Let this word name the active subject; with Shift, all from or up to those that do"""

    bl_idname = "peekaboo.set_phrase"
    bl_label = "Set Phrase"
    bl_options = {"INTERNAL", "UNDO"}

    words: StringProperty(name="Words", description="The phrase", options={"SKIP_SAVE"})
    together: StringProperty(
        name="Together", description="The phrase where Shift is held", options={"SKIP_SAVE"}
    )

    def invoke(self, context, event):
        """See whether Shift is held."""
        if event.shift and self.together:
            self.words = self.together
        return self.execute(context)

    def execute(self, context):
        """Set the phrase."""
        context.object.peekaboo.phrase = self.words
        return {"FINISHED"}


def _prompt_here(context) -> str:
    """The prompt of the shot at the playhead."""
    scene = context.scene
    try:
        return shots.shot_at(scene, scene.frame_current).prompt
    except PeekabooError:
        return scene.peekaboo.prompt


def _draw_words(layout, context) -> None:
    text, phrase = _prompt_here(context), context.object.peekaboo.phrase
    start, end, _ = next(iter(phrases.claims(text, [phrase])), (0, 0, 0))
    chip, room = chip_of(context.object.peekaboo.color), 0.0
    column = layout.column()  # aligned, rows would draw the edges of each other's buttons to their own
    for first, last in phrases.words_of(text):
        is_in, begins = start <= first < end, first == start and end > 0
        width = text_width(text[first:last]) + WORD_PADDING + CHIP_WIDTH * begins
        if width > room:
            row, room = column.row(align=True), line_width(context, WORDS_WIDTH)
            row.alignment = "LEFT"
        room -= width
        cell = row.row(align=True)
        cell.ui_units_x = width / UNIT
        icon = {"icon_value": chip} if begins else {}
        pick = cell.operator("peekaboo.set_phrase", text=text[first:last], depress=is_in, **icon)
        pick.words = text[first:last]
        pick.together = " ".join(text[min(start, first) : max(end, last)].split()) if end else ""


register, unregister = bpy.utils.register_classes_factory(
    (PEEKABOO_OT_edit_prompt, PEEKABOO_OT_pick_phrase, PEEKABOO_OT_set_phrase)
)
