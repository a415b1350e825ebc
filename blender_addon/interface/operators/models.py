# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that choose a model, and bring it to this machine."""

import bpy
from bpy.props import BoolProperty, StringProperty

from ...engine import catalogue
from ...errors import PeekabooError
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
        if not self.accept_licence:
            self.report({"ERROR"}, "Nothing is downloaded unless you accept the licence: tick that.")
            return {"CANCELLED"}
        try:
            downloading.begin(self.model)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


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
    (PEEKABOO_OT_choose_model, PEEKABOO_OT_download_model, PEEKABOO_OT_cancel_download)
)
