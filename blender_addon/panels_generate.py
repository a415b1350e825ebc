# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel that makes clips and shows how that goes."""

from __future__ import annotations

import bpy

from . import generation, preferences
from .errors import PeekabooError
from .panels import SidebarPanel, draw_sentence


class PEEKABOO_PT_generate(SidebarPanel, bpy.types.Panel):
    """Make the clip, and see how it goes."""

    bl_label = "Generate"

    def draw(self, context):
        """Draw the button; or the progress; and how the last clip ended."""
        layout = self.layout
        running = generation.current()
        if running is None:
            row = layout.row()
            row.scale_y = 1.5
            row.operator("peekaboo.generate", icon="RENDER_ANIMATION")
            _draw_missing_engine(layout, context)
        else:
            layout.progress(factor=running.factor, text=running.text)
            layout.operator("peekaboo.cancel", icon="CANCEL")
        if ended := generation.outcome():
            draw_sentence(layout, context, ended.text, "ERROR" if ended.failed else "INFO")
            if ended.folder:
                layout.operator("wm.path_open", text="Open Folder", icon="FILE_FOLDER").filepath = str(
                    ended.folder
                )


def _draw_missing_engine(layout, context) -> None:
    try:
        preferences.engine_python()
    except PeekabooError as error:
        draw_sentence(layout, context, str(error), "ERROR")
        layout.operator("preferences.addon_show", text="Open Preferences").module = __package__


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_PT_generate,))
