# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that see to the engine's environment."""

from collections.abc import Callable

import bpy

from ...errors import PeekabooError
from ...making import engine_choice, generation, set_up
from ..sidebar import draw_sentence

DIALOG_WIDTH = 460


class _SeesToEnvironment:
    """An operator that begins something with the engine's environment; ``begin`` is what."""

    begin: Callable[[], None]

    @classmethod
    def poll(cls, _context):
        """Nothing else is going on."""
        if set_up.is_busy():
            cls.poll_message_set("The engine is being set up or checked")
            return False
        return True

    def execute(self, _context):
        """Begin, or show why not."""
        try:
            self.begin()
        except PeekabooError as error:
            set_up.report(str(error))
        return {"FINISHED"}


class PEEKABOO_OT_set_up_engine(_SeesToEnvironment, bpy.types.Operator):
    """Make the engine's own Python environment: gigabytes to download. Blender's Python is not touched"""

    bl_idname = "peekaboo.set_up_engine"
    bl_label = "Set Up Engine"
    bl_options = {"INTERNAL"}

    @staticmethod
    def begin() -> None:
        """Make the environment, or look at the Python that was chosen in its place."""
        if engine_choice.names_python():
            set_up.check()
        else:
            set_up.set_up()

    def invoke(self, context, _event):
        """Ask for all that it depends on, in one dialog."""
        return context.window_manager.invoke_props_dialog(
            self, width=DIALOG_WIDTH, title=self.bl_label, confirm_text="Set Up"
        )

    def draw(self, context):
        """Draw what will be done, whether Blender may go online, the device, and a Python in its place."""
        layout, system = self.layout, context.preferences.system
        layout.use_property_split = True
        preferences = engine_choice.preferences()
        if engine_choice.names_python():
            text = "The Python below is looked at, and nothing is downloaded."
        else:
            text = f"The engine's packages are downloaded: they take about {set_up.gigabytes():g} GB"
            text += f' in "{folder}".' if (folder := engine_choice.user_folder()) else "."
        draw_sentence(layout, context, text, "INFO", DIALOG_WIDTH)
        if not engine_choice.names_python():
            row = layout.row()
            row.enabled = not engine_choice.is_online_access_settled()
            row.prop(system, "use_online_access", text="Allow Online Access")
        if preferences is not None:
            layout.prop(preferences, "device")
            layout.prop(preferences, "python", placeholder="the engine's own environment")


class PEEKABOO_OT_check_engine(_SeesToEnvironment, bpy.types.Operator):
    """See whether the engine has all that it needs, and what it would compute on"""

    bl_idname = "peekaboo.check_engine"
    bl_label = "Check Engine"
    bl_options = {"INTERNAL"}
    begin = staticmethod(set_up.check)


class PEEKABOO_OT_cancel_set_up(bpy.types.Operator):
    """Stop setting the engine up; what was downloaded is kept"""

    bl_idname = "peekaboo.cancel_set_up"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    def execute(self, _context):
        """Tell the set-up to end."""
        set_up.cancel()
        return {"FINISHED"}


class PEEKABOO_OT_free_memory(bpy.types.Operator):
    """End the engine and give back the memory that it and its model take; the next clip starts it again"""

    bl_idname = "peekaboo.free_memory"
    bl_label = "Free Memory"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context):
        """There is an engine, and it has nothing to do."""
        if generation.unfinished():
            cls.poll_message_set("A clip is being generated: cancel it first")
            return False
        if not generation.engine_is_up():
            cls.poll_message_set("No engine is running")
            return False
        return True

    def execute(self, _context):
        """Let go of the engine."""
        generation.free_memory()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        PEEKABOO_OT_set_up_engine,
        PEEKABOO_OT_check_engine,
        PEEKABOO_OT_cancel_set_up,
        PEEKABOO_OT_free_memory,
    )
)
