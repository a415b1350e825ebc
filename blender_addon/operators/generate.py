# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that make a clip."""

import bpy

from .. import authoring, generation, headless, preferences, takes
from ..errors import PeekabooError


class PEEKABOO_OT_generate(bpy.types.Operator):
    """Make the clip and put it into the sequencer. Blender stays usable meanwhile; ESC cancels"""

    bl_idname = "peekaboo.generate"
    bl_label = "Generate"
    bl_options = {"REGISTER"}  # no UNDO: the import pushes its own step, minutes later

    @classmethod
    def poll(cls, context):
        """One clip at a time, and not while its settings are known to be wrong."""
        if generation.current() is not None:
            cls.poll_message_set("A clip is being generated")
            return False
        if problem := authoring.prompt_problem(context.scene):
            cls.poll_message_set(problem)
            return False
        return True

    def execute(self, context):
        """Wait until the clip is there: for scripts."""
        try:
            folder = takes.new_folder(context.scene)
            python = str(preferences.engine_python())
            headless.generate(context.scene, folder, python, bpy.app.online_access)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def invoke(self, context, _event):
        """Start the engine, and listen for ESC while it works."""
        try:
            generation.start(context.scene)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Pass all events on but ESC, which stops the playback first where there is one."""
        if generation.current() is None:
            return {"FINISHED", "PASS_THROUGH"}
        playing = context.screen is not None and context.screen.is_animation_playing
        if event.type == "ESC" and event.value == "PRESS" and not playing:
            generation.cancel()
            return {"CANCELLED"}
        return {"PASS_THROUGH"}


class PEEKABOO_OT_cancel(bpy.types.Operator):
    """Stop generating; nothing is kept of the clip"""

    bl_idname = "peekaboo.cancel"
    bl_label = "Cancel Generating"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context):
        """A clip is being generated."""
        running = generation.current()
        if running is None or running.cancelled:
            cls.poll_message_set("No clip is being generated")
            return False
        return True

    def execute(self, _context):
        """Tell the engine to end."""
        generation.cancel()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_generate, PEEKABOO_OT_cancel))
