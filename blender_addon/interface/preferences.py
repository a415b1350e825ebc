# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's page in Blender's preferences: what holds for all files."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from ..engine import torch_builds
from ..making import engine_choice
from .sidebar import draw_set_up


def _keep_whole(preferences, _context) -> None:
    """Blender's file browser may give a path relative to the open .blend: it is meant there and then."""
    if preferences.python.startswith("//"):
        preferences.python = bpy.path.abspath(preferences.python)


class PEEKABOO_AP_preferences(bpy.types.AddonPreferences):
    """The add-on's page in Blender's preferences."""

    bl_idname = engine_choice.ADDON

    python: StringProperty(
        name="Existing Python",
        description="A Python that has the engine's packages; empty for the engine's own environment",
        subtype="FILE_PATH",
        update=_keep_whole,
    )

    device: EnumProperty(
        name="Device",
        description="What the engine computes on, and so which build of torch Set Up Engine gets",
        items=[
            (torch_builds.AUTO, "Automatic", "The best that this machine has"),
            ("cpu", "CPU", "Works everywhere, slowly"),
            ("cuda", "CUDA", "A graphics card by NVIDIA"),
            ("rocm", "ROCm", "A graphics card by AMD, on Linux"),
            ("mps", "MPS", "The graphics processor of Apple Silicon"),
        ],
    )

    idle_minutes: IntProperty(
        name="Keep Engine (Minutes)",
        description="Minutes that the engine stays, with its model in memory, after its last job",
        default=engine_choice.DEFAULT_IDLE_MINUTES,
        min=1,
        soft_max=240,
    )

    language_server: StringProperty(
        name="Language Model's Server",
        description="OpenAI-compatible address that plans drafts, such as http://localhost:11434/v1; "
        "addresses beyond your own network need online access",
    )
    language_model: StringProperty(name="Language Model", description="Its name on that server")
    language_key: StringProperty(
        name="Key",
        description="Of a service; kept with Blender's preferences, in no .blend and no job",
        subtype="PASSWORD",
    )

    def draw(self, context):
        """Draw where the engine's Python is, how to get one, and whether it is complete."""
        layout = self.layout
        column = layout.column()
        column.use_property_split = True
        column.prop(self, "python", placeholder="the engine's own environment")
        column.prop(self, "device")
        if self.device == torch_builds.AUTO:
            split = column.split(factor=0.4)  # as far as a name and its value are apart
            split.label()
            split.label(text=f"{torch_builds.TITLES[torch_builds.found()]} on this machine")
        column.prop(self, "idle_minutes")
        column.prop(self, "language_server", placeholder="http://localhost:11434/v1")
        column.prop(self, "language_model")
        column.prop(self, "language_key")
        draw_set_up(layout, context)
        row = layout.row()
        row.operator("peekaboo.check_engine", icon="CHECKMARK")
        row.operator("peekaboo.free_memory")


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_AP_preferences,))
