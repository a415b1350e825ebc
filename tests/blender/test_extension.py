# SPDX-License-Identifier: GPL-3.0-or-later
import build_extension
import installed

STATE = f"""
import addon_utils, bpy
def handlers():
    kinds = [getattr(bpy.app.handlers, kind) for kind in dir(bpy.app.handlers)]
    return [handler for kind in kinds if isinstance(kind, list) for handler in kind]
def seen():
    return sorted(
        [name for name in dir(bpy.types) if "PEEKABOO" in name]
        + [kind.__name__ for kind in (bpy.types.Scene, bpy.types.Object) if hasattr(kind, "peekaboo")]
        + dir(bpy.ops.peekaboo)
        + [str(handler) for handler in handlers() if "peekaboo" in handler.__module__]
    )
NAME = "{installed.NAME}"
"""


def test_program_finds_nothing_wrong_with_the_package(tmp_path):
    installed.Profile(tmp_path).blender("--command", "extension", "validate", build_extension.build(tmp_path))


def test_installed_extension_is_enabled(profile):
    profile.python(STATE + "assert 'Scene' in seen() and addon_utils.check(NAME) == (True, True), seen()")


def test_disabling_leaves_nothing_and_enabling_brings_it_all_back(profile):
    profile.python(
        STATE
        + """
before = seen()
for _ in range(2):
    bpy.ops.preferences.addon_disable(module=NAME)
    assert seen() == [], seen()
    bpy.ops.preferences.addon_enable(module=NAME)
    assert seen() == before, (before, seen())
"""
    )


def test_installing_again_replaces_what_was_there_and_uninstalling_leaves_nothing(tmp_path):
    profile = installed.install(tmp_path)
    (profile.extension / "left_over.py").touch()
    package = build_extension.build(tmp_path)
    profile.blender("--command", "extension", "install-file", "-r", "user_default", "-e", package)
    assert (profile.extension / "__init__.py").is_file()
    assert not (profile.extension / "left_over.py").exists()
    profile.blender("--command", "extension", "remove", "user_default.peekaboo")
    assert not list(profile.folder.rglob("*peekaboo*"))
    profile.python(STATE + "assert seen() == [], seen()")
