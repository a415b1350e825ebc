# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that choose a model, and bring it to this machine."""

import bpy
from bpy.props import BoolProperty, StringProperty

from ... import memory, windows
from ...engine import catalogue
from ...errors import PeekabooError, shown
from ...making import downloading, engine_choice
from ..sidebar import draw_sentence

DIALOG_WIDTH = 460


class PEEKABOO_OT_choose_model(bpy.types.Operator):
    """Make clips of this scene with this model"""

    bl_idname = "peekaboo.choose_model"
    bl_label = "Choose Model"
    bl_options = {"INTERNAL", "UNDO"}

    model: StringProperty(name="Model", description="Its name in the catalogue", options={"SKIP_SAVE"})

    def execute(self, context):
        """Set it."""
        context.scene.peekaboo.model = self.model
        return {"FINISHED"}


class PEEKABOO_OT_look_there(bpy.types.Operator):
    """Look for what this file names on that machine, until Blender is closed; Windows logs in to it"""

    bl_idname = "peekaboo.look_there"
    bl_label = "Look There"
    bl_options = {"INTERNAL"}

    machine: StringProperty(name="Machine", description="Its name", options={"SKIP_SAVE"})

    def execute(self, _context):
        """Let it be looked at."""
        memory.visit(self.machine)
        windows.redraw()
        return {"FINISHED"}


class PEEKABOO_OT_choose_schedule(bpy.types.Operator):
    """Sample with this schedule"""

    bl_idname = "peekaboo.choose_schedule"
    bl_label = "Choose Schedule"
    bl_options = {"INTERNAL", "UNDO"}

    schedule: StringProperty(name="Schedule", description="Its name", options={"SKIP_SAVE"})

    @classmethod
    def description(cls, context, properties):
        """What the schedule is for."""
        items = context.scene.peekaboo.bl_rna.properties["schedule"].enum_items
        return items[properties.schedule].description if properties.schedule in items else ""

    def execute(self, context):
        """Set it."""
        context.scene.peekaboo.schedule = self.schedule
        return {"FINISHED"}


class PEEKABOO_OT_download_model(bpy.types.Operator):
    """Download the model's weights, or the rest of them; what its licence limits is shown first"""

    bl_idname = "peekaboo.download_model"
    bl_label = "Download Model"
    bl_options = {"INTERNAL"}

    model: StringProperty(name="Model", description="Its name in the catalogue", options={"SKIP_SAVE"})
    accept_licence: BoolProperty(
        name="I Accept the Licence and Its Limits",
        description="The weights are their makers' and not Peekaboo's",
        default=False,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, _context):
        """Blender may go online, and nothing else is being downloaded."""
        if not engine_choice.may_go_online():
            cls.poll_message_set("Turn on Allow Online Access in the System preferences first")
            return False
        if downloading.current() is not None:
            cls.poll_message_set("A model is being downloaded already")
            return False
        return True

    def invoke(self, context, _event):
        """Show the licence and its limits."""
        return context.window_manager.invoke_props_dialog(
            self, width=DIALOG_WIDTH, title="Download Model", confirm_text="Download"
        )

    def draw(self, context):
        """Draw what is about to be downloaded, from where, and under which conditions."""
        layout, entry = self.layout, catalogue.catalogue()[self.model]
        layout.label(text=entry["title"])
        for fact in catalogue.describe(self.model):
            layout.label(text=fact, icon="DOT")
        layout.label(text=f"from huggingface.co/{entry['source']}", icon="URL")
        licence, address, limits = catalogue.licence(self.model)
        layout.separator()
        layout.operator("wm.url_open", text=f"Licence: {licence}", icon="URL").url = address
        for limit in limits:
            draw_sentence(layout, context, limit, "ERROR", width=DIALOG_WIDTH)
        layout.prop(self, "accept_licence")

    def execute(self, _context):
        """Begin, or say why not."""
        if self.model not in catalogue.catalogue():
            self.report({"ERROR"}, f'There is no model "{self.model}" to download: choose one of the list.')
            return {"CANCELLED"}
        return _begin(self, self.model)


def _begin(operator, wanted: str) -> set[str]:
    """Begin a download whose licence is accepted, or say why not; what an operator returns then."""
    try:
        if not operator.accept_licence:
            raise PeekabooError("Nothing is downloaded unless you accept the licence: tick that.")
        downloading.begin(wanted)
    except PeekabooError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    return {"FINISHED"}


class PEEKABOO_OT_download_lora(bpy.types.Operator):
    """Download the LoRA's file; where its licence is found is shown first"""

    bl_idname = "peekaboo.download_lora"
    bl_label = "Download LoRA"
    bl_options = {"INTERNAL"}

    source: StringProperty(name="LoRA", description="Its repository and file", options={"SKIP_SAVE"})
    accept_licence: BoolProperty(
        name="I Have Read and Accept Its Licence",
        description="The weights are their makers' and not Peekaboo's",
        default=False,
        options={"SKIP_SAVE"},
    )

    poll = PEEKABOO_OT_download_model.poll

    def invoke(self, context, _event):
        """Show where the licence is."""
        return context.window_manager.invoke_props_dialog(
            self, width=DIALOG_WIDTH, title="Download LoRA", confirm_text="Download"
        )

    def draw(self, context):
        """Draw what is about to be downloaded, from where, and the page with its conditions."""
        named = catalogue.LORA_IN_REPOSITORY.fullmatch(self.source)
        if named is None:
            return
        layout, page = self.layout, f"https://huggingface.co/{named[1]}"
        layout.label(text=shown(named[2]))
        sentence = "Nobody of us has read its licence: what it allows and forbids is on its page."
        draw_sentence(layout, context, sentence, "ERROR", width=DIALOG_WIDTH)
        layout.operator("wm.url_open", text=shown(page.removeprefix("https://")), icon="URL").url = page
        layout.prop(self, "accept_licence")

    def execute(self, _context):
        """Begin, or say why not."""
        if catalogue.LORA_IN_REPOSITORY.fullmatch(self.source) is None:
            self.report({"ERROR"}, "This is no file of a repository: give owner/name/file.safetensors.")
            return {"CANCELLED"}
        return _begin(self, self.source)


class PEEKABOO_OT_cancel_download(bpy.types.Operator):
    """Stop the download; what has arrived is kept, and the next one goes on there"""

    bl_idname = "peekaboo.cancel_download"
    bl_label = "Cancel Download"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context):
        """There is one."""
        if downloading.current() is None:
            cls.poll_message_set("Nothing is being downloaded")
            return False
        return True

    def execute(self, _context):
        """Tell it to end."""
        downloading.cancel()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        PEEKABOO_OT_choose_model,
        PEEKABOO_OT_look_there,
        PEEKABOO_OT_choose_schedule,
        PEEKABOO_OT_download_model,
        PEEKABOO_OT_download_lora,
        PEEKABOO_OT_cancel_download,
    )
)
