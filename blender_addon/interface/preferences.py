# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all files: where the engine's Python is."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from ..engine import process as engine_client
from ..engine import torch_builds
from ..engine.process import Settings
from ..errors import PeekabooError

ADDON = __package__.rpartition(".")[0]
"""The add-on's name in Blender's preferences: the package above this room."""

DEFAULT_IDLE_MINUTES = 15


def _keep_whole(preferences, _context) -> None:
    """Blender's file browser may give a path relative to the open .blend: it is meant there and then."""
    if preferences.python.startswith("//"):
        preferences.python = bpy.path.abspath(preferences.python)


class PEEKABOO_AP_preferences(bpy.types.AddonPreferences):
    """The add-on's page in Blender's preferences."""

    bl_idname = ADDON

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
        default=DEFAULT_IDLE_MINUTES,
        min=1,
        soft_max=240,
    )

    def draw(self, context):
        """Draw where the engine's Python is, how to get one, and whether it is complete."""
        from .panels_subjects import draw_set_up  # which asks this module for the engine's Python

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
        draw_set_up(layout, context)
        layout.operator("peekaboo.free_memory")


def _get():
    """The preferences; None while the add-on runs from a checkout, where Blender keeps none for it."""
    addon = bpy.context.preferences.addons.get(ADDON)
    return addon.preferences if addon else None


def user_folder() -> Path | None:
    """Where the extension may keep files; None in a checkout."""
    try:
        return Path(bpy.utils.extension_path_user(ADDON))
    except ValueError:
        return None


def own_environment() -> Path:
    """The folder of the engine's own environment.

    Raises:
        PeekabooError: the add-on runs from a checkout, whose scripts make one.
    """
    folder = user_folder()
    if folder is None:
        raise PeekabooError(
            "The add-on runs from a checkout: run scripts/demo there to make the environment."
        )
    return folder / engine_client.OWN_ENVIRONMENT


def engine_python() -> Path:
    """Find the Python that the engine runs in.

    Raises:
        PeekabooError: there is none, or the one that is chosen would be looked for beside the .blend.
    """
    stated = _get()
    explicit = stated.python if stated else ""
    if explicit and (explicit.startswith("//") or not Path(explicit).is_absolute()):
        raise PeekabooError(
            f'The Existing Python "{explicit}" depends on which .blend is open: choose it by its whole path.'
        )
    return engine_client.find_python(explicit, user_folder())


def engine_settings() -> Settings:
    """What an engine is to be started with.

    Raises:
        PeekabooError: there is no Python to run it in.
    """
    stated = _get()
    minutes = stated.idle_minutes if stated else DEFAULT_IDLE_MINUTES
    return Settings(
        engine_python(), bpy.app.online_access, 60.0 * minutes, torch_builds.torch_device(device())
    )


def device() -> str:
    """What the engine is to compute on: a key of :data:`torch_builds.TITLES`."""
    stated = _get()
    return stated.device if stated else torch_builds.AUTO


def names_python() -> bool:
    """Whether an existing Python is to be used, and not the engine's own environment."""
    stated = _get()
    return bool(stated and stated.python)


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_AP_preferences,))
