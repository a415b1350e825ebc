# SPDX-License-Identifier: GPL-3.0-or-later
"""How a script runs in the Blender program, or in Python with the bpy module, with this checkout's add-on."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import blender_addon
from blender_addon.command.program import exit_code
from blender_addon.errors import PeekabooError


def runs_as_module() -> bool:
    """Whether this is Python with the bpy module, not the Blender program."""
    return not bpy.app.binary_path


def script_arguments() -> list[str]:
    """The arguments for the script: all of them, or in the Blender program those past ``--``."""
    if runs_as_module():
        return sys.argv[1:]
    return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []


def run_script(main: Callable[[list[str]], None]) -> None:
    """Run a script's main function with the add-on's properties in place, then exit.

    The exit code is 0 after success and 1 after a :class:`PeekabooError`, which is printed as a sentence.
    Blender would exit with 0 after an exception in a script, so all of them end here.
    """
    registered = hasattr(bpy.types.Scene, "peekaboo")  # by the installed extension
    if not registered:
        blender_addon.register()
        _read_overrides()
    try:
        code = exit_code(main, script_arguments())
    finally:
        if not registered:
            blender_addon.unregister()
    sys.stdout.flush()
    sys.stderr.flush()
    if runs_as_module():  # which can crash (4.2) or hang (4.5) while Python shuts down, when all is done
        if Path(bpy.app.tempdir).name.startswith("blender_"):
            shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
        os._exit(code)
    sys.exit(code)


def _read_overrides() -> None:
    """Open Blender's file once more where it has library overrides.

    Blender drops those of our properties that it meets in a file before they are registered.
    """
    objects: Any = bpy.data.objects
    if bpy.data.filepath and any(obj.override_library for obj in objects):
        bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)


def open_blend(path: Path) -> None:
    """Open a .blend file, without running what it brings along: drivers' expressions and texts.

    Raises:
        PeekabooError: there is none, or Blender cannot read it.
    """
    if not path.is_file():
        raise PeekabooError(f'There is no file "{path}": give the path of a .blend.')
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path.resolve()), use_scripts=False)
    except RuntimeError:
        raise PeekabooError(
            f'Blender cannot read "{path}": open and save it in this version of Blender.'
        ) from None
