# SPDX-License-Identifier: GPL-3.0-or-later
import re
import zipfile

import build_extension
from house import installed

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


def test_a_preset_of_the_shot_is_saved_and_applied(tmp_path):
    installed.install(tmp_path).python(
        """
import bpy
settings = bpy.context.scene.peekaboo
settings.model, settings.masked_steps = "modelscope", 9
bpy.ops.peekaboo.shot_preset_add(name="Mine")
settings.model, settings.masked_steps = "shapes", -1
preset = bpy.utils.preset_find("Mine", "peekaboo_shot")
bpy.ops.script.execute_preset(filepath=preset, menu_idname="PEEKABOO_PT_shot_presets")
assert (settings.model, settings.masked_steps) == ("modelscope", 9), (settings.model, settings.masked_steps)
"""
    )


def test_installing_over_another_version_keeps_what_is_the_users_and_uninstalling_leaves_nothing(tmp_path):
    profile = installed.install(tmp_path)
    (profile.extension / "left_over.py").touch()
    profile.python(
        f"""
import bpy, pathlib
bpy.context.preferences.addons["{installed.NAME}"].preferences.idle_minutes = 33
pathlib.Path(bpy.utils.extension_path_user("{installed.NAME}", path="engine", create=True), "kept").touch()
bpy.ops.wm.save_userpref()
"""
    )
    package = newer(build_extension.build(tmp_path))
    profile.blender("--command", "extension", "install-file", "-r", "user_default", "-e", package)
    assert NEWER in (profile.extension / "blender_manifest.toml").read_text("utf-8")
    assert not (profile.extension / "left_over.py").exists()
    profile.python(
        f"""
import bpy, pathlib
assert bpy.context.preferences.addons["{installed.NAME}"].preferences.idle_minutes == 33
assert pathlib.Path(bpy.utils.extension_path_user("{installed.NAME}", path="engine"), "kept").is_file()
"""
    )
    profile.blender("--command", "extension", "remove", "user_default.peekaboo")
    assert not list(profile.folder.rglob("*peekaboo*"))
    profile.python(STATE + "assert seen() == [], seen()")


NEWER = 'version = "99.0.0"'


def newer(package):
    """The same package as a later version."""
    later = package.with_name("later.zip")
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(later, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == build_extension.MANIFEST:
                content = re.sub(rb'^version = ".*"', NEWER.encode(), content, flags=re.M)
            new.writestr(name, content)
    return later
