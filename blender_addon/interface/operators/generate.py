# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that make clips, and end that."""

import bpy
from bpy.props import IntProperty, StringProperty

from ...command import program as headless
from ...errors import PeekabooError
from ...making import engine_choice, generation
from ...shot import layout as shot
from ...shot import prompt, seeds
from ...takes import folders as takes
from .takes import OnActiveTake


class _ListensForEscape:
    """An operator that stays while there are jobs, for ESC to cancel the one that runs."""

    def listen(self, context):
        """Stay, unless another one does."""
        listeners = {"PEEKABOO_OT_generate", "PEEKABOO_OT_retake"}
        for window in context.window_manager.windows:
            if any(operator.bl_idname in listeners for operator in window.modal_operators):
                return {"FINISHED"}
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Pass all events on but ESC, which stops the playback first where there is one."""
        if not generation.unfinished():
            return {"FINISHED", "PASS_THROUGH"}
        running = generation.current()
        playing = context.screen is not None and context.screen.is_animation_playing
        if event.type == "ESC" and event.value == "PRESS" and running and not playing:
            generation.cancel()
            return {"RUNNING_MODAL"}
        return {"PASS_THROUGH"}


class PEEKABOO_OT_generate(_ListensForEscape, bpy.types.Operator):
    """Make the clip and put it into the sequencer. Blender stays usable meanwhile; ESC cancels"""

    bl_idname = "peekaboo.generate"
    bl_label = "Generate"
    bl_options = {"REGISTER"}  # no UNDO: the import pushes its own step, minutes later

    count: IntProperty(
        name="Takes",
        description="How many clips to make, each with a seed of its own",
        default=1,
        min=1,
        max=99,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context):
        """Not while the settings are known to be wrong."""
        if problem := prompt.prompt_problem(context.scene):
            cls.poll_message_set(problem)
            return False
        return True

    def execute(self, context):
        """Wait until the clips are there: for scripts."""
        try:
            settings, scene = engine_choice.engine_settings(), context.scene
            layout = shot.read_shot(scene)
            orders = (
                headless.Order(scene, layout, seed, takes.new_folder(scene))
                for seed in seeds.seeds(scene, self.count)
            )
            list(headless.generate(orders, settings))
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def invoke(self, context, _event):
        """Queue the clips, and listen for ESC while the engine works."""
        try:
            generation.start(context.scene, self.count)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return self.listen(context)


class PEEKABOO_OT_retake(_ListensForEscape, OnActiveTake, bpy.types.Operator):
    """Make the active take once more with a new seed; the new clip will lie above it"""

    bl_idname = "peekaboo.retake"
    bl_label = "Retake"
    bl_options = {"REGISTER"}  # no UNDO: see Generate

    def act(self, scene, strip):
        """Queue the clip."""
        generation.retake(scene, strip)

    def invoke(self, context, _event):
        """Queue the clip, and listen for ESC while the engine works."""
        ended = self.execute(context)
        return self.listen(context) if ended == {"FINISHED"} else ended


class PEEKABOO_OT_cancel(bpy.types.Operator):
    """Stop generating; nothing is kept of the clip, and the next one in the queue begins"""

    bl_idname = "peekaboo.cancel"
    bl_label = "Cancel Generating"
    bl_options = {"INTERNAL"}

    job: StringProperty(
        description="Which one; the one that runs when empty", options={"SKIP_SAVE", "HIDDEN"}
    )

    @classmethod
    def poll(cls, _context):
        """A clip is being generated, or waits for that."""
        if not generation.unfinished():
            cls.poll_message_set("No clip is being generated")
            return False
        return True

    def execute(self, _context):
        """Tell the engine to end it."""
        generation.cancel(self.job)
        return {"FINISHED"}


class PEEKABOO_OT_cancel_all(bpy.types.Operator):
    """Stop generating, and empty the queue; nothing is kept of clips that are not done"""

    bl_idname = "peekaboo.cancel_all"
    bl_label = "Cancel All"
    bl_options = {"INTERNAL"}

    poll = PEEKABOO_OT_cancel.poll

    def execute(self, _context):
        """Tell the engine to end."""
        generation.cancel_all()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (PEEKABOO_OT_generate, PEEKABOO_OT_retake, PEEKABOO_OT_cancel, PEEKABOO_OT_cancel_all)
)
