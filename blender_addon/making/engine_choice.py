# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on's preferences say about the engine: where its Python is, and what it is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import bpy

from ..engine import process, torch_builds, whereabouts
from ..errors import PeekabooError
from ..memory import remembered

ADDON = __package__.rpartition(".")[0]
"""The add-on's name in Blender's preferences: the package above the rooms."""

DEFAULT_IDLE_MINUTES = 15


def preferences():
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
    return folder / whereabouts.OWN_ENVIRONMENT


_find_python = remembered(Path("python"))(whereabouts.find_python)


def engine_python() -> Path:
    """Find the Python that the engine runs in.

    Raises:
        PeekabooError: there is none, or the one that is chosen would be looked for beside the .blend.
    """
    stated = preferences()
    explicit = stated.python if stated else ""
    if explicit and (explicit.startswith("//") or not Path(explicit).is_absolute()):
        raise PeekabooError(
            f'The Existing Python "{explicit}" depends on which .blend is open: choose it by its whole path.'
        )
    try:
        return _find_python(explicit, user_folder())
    except whereabouts.NotSetUp as error:
        if not bpy.app.background:
            raise
        raise PeekabooError(
            "The engine's Python environment is not there: make it with blender --online-mode --command "
            "peekaboo setup, or name an existing Python by PEEKABOO_PYTHON (in a checkout, run scripts/demo "
            "once)."
        ) from error


def engine_settings() -> process.EngineSettings:
    """What an engine is to be started with.

    Raises:
        PeekabooError: there is no Python to run it in.
    """
    stated = preferences()
    minutes = stated.idle_minutes if stated else DEFAULT_IDLE_MINUTES
    return process.EngineSettings(
        engine_python(), may_go_online(), 60.0 * minutes, torch_builds.torch_device(device())
    )


def may_go_online() -> bool:
    """Whether anything of ours may reach the network: Blender's own setting or its command line decides."""
    return bpy.app.online_access


def is_online_access_settled() -> bool:
    """Whether Blender's command line has decided that, so that its setting has no say."""
    return bpy.app.online_access_override


def device() -> str:
    """What the engine is to compute on: a key of :data:`torch_builds.TITLES`."""
    stated = preferences()
    return stated.device if stated else torch_builds.AUTO


@dataclass(frozen=True)
class LanguageServer:
    """An OpenAI-compatible server, its language model, and the key to it, which is secret."""

    url: str
    model: str
    key: str = field(default="", repr=False)


def language_server() -> LanguageServer:
    """The server that plans drafts.

    Raises:
        PeekabooError: the preferences name none.
    """
    stated = preferences()
    if stated is None or not (stated.language_server and stated.language_model):
        raise PeekabooError(
            "No language model is chosen: give its server and its name in the add-on's preferences."
        )
    return LanguageServer(stated.language_server, stated.language_model, stated.language_key)


def names_python() -> bool:
    """Whether an existing Python is to be used, and not the engine's own environment."""
    stated = preferences()
    return bool(stated and stated.python)
