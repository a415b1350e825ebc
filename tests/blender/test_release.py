# SPDX-License-Identifier: GPL-3.0-or-later
"""A release as a user meets it: a repository on a web server, from which Blender installs and updates."""

import functools
import hashlib
import json
import os
import re
import subprocess
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import build_extension
import pytest
import release
from house import installed
from house.environments import ENGINE, CommandError

OLDER = "0.0.1"
MODULE = "bl_ext.of_a_test.peekaboo"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_about):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder, and the address at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}/index.json"
    server.shutdown()
    server.server_close()


@pytest.fixture
def release_of(monkeypatch):
    """Make a release of some version of this checkout."""

    def make(folder, version):
        monkeypatch.setattr(build_extension, "version", lambda: version)
        changelog = folder.parent / "CHANGELOG.md"
        changelog.write_text(
            f"# Changes\n\n## {version} (2026-01-31)\n\nIt is {version}.\n\n## 0.0.0 (old)\n"
        )
        monkeypatch.setattr(release, "CHANGELOG", changelog)
        return release.publish(folder, os.environ["BLENDER"], draft=True)

    return make


WORK = f"""
import bpy, sys, time, pathlib
def addon(name):
    return sys.modules["{MODULE}." + name]
process = addon("engine.process")
process.START_SECONDS = process.HELLO_SECONDS = 600  # a busy machine is no failure
scene = bpy.context.scene
scene.frame_end = 8
bpy.context.view_layer.update()
bpy.ops.peekaboo.add_subject()
bpy.context.object.peekaboo.phrase = "a red ball"
scene.peekaboo.prompt = "a red ball on grass"
scene.peekaboo.model = MODEL
scene.peekaboo.num_inference_steps = 2
bpy.context.preferences.addons["{MODULE}"].preferences.idle_minutes = 33
bpy.ops.wm.save_as_mainfile(filepath=FILE)
assert bpy.ops.peekaboo.generate() == {{"FINISHED"}}
bpy.ops.wm.save_mainfile()
"""
UPDATE = """
generation, settings = addon("making.generation"), addon("making.engine_choice").engine_settings()
keeper = generation._queue.keeper
engine = keeper.get(settings, pathlib.Path(bpy.app.tempdir)).process
while not keeper.device:
    keeper.poll()
    assert engine.poll() is None
    time.sleep(0.05)
bpy.ops.extensions.repo_sync_all()
bpy.ops.extensions.package_upgrade_all()
engine.wait(30)
assert "peekaboo" in dir(bpy.types.Scene), "the new version is not enabled"
assert addon("making.generation") is not generation
bpy.ops.wm.save_userpref()
# where Set Up Engine puts the engine's environment
own = pathlib.Path(bpy.utils.extension_path_user("bl_ext.of_a_test.peekaboo", path="engine", create=True))
(own / "python").touch()
"""
SEEN = f"""
import bpy
scene = bpy.context.scene
editor = bpy.data.scenes["Scene Takes"].sequence_editor
strips = editor.strips if hasattr(editor, "strips") else editor.sequences
assert len(strips) == 1, list(strips)
assert scene.peekaboo.prompt == "a red ball on grass" and scene.peekaboo.num_inference_steps == 2
assert bpy.context.preferences.addons["{MODULE}"].preferences.idle_minutes == 33
"""


def extension(profile, *arguments, **options):
    return profile.blender("--online-mode", "--command", "extension", *arguments, **options)


def version_of(profile):
    manifest = profile.folder / "extensions" / "of_a_test" / "peekaboo" / build_extension.MANIFEST
    return re.search(r'^version = "(.*)"', manifest.read_text("utf-8"), re.M)[1]


def test_a_repository_is_added_and_the_extension_installed_updated_and_removed(
    tmp_path, served, release_of, model
):
    folder, address = served
    release_of(folder, OLDER)
    profile = installed.Profile(tmp_path / "profile")
    profile.folder.mkdir()
    extension(profile, "repo-add", "--url", address, "--name", "Of a test", "of_a_test")
    extension(profile, "install", "--sync", "--enable", "peekaboo")
    assert version_of(profile) == OLDER

    # With a take made and the engine still warm, a newer release comes out.
    release_of(folder, "99.0.0")
    file = tmp_path / "shot.blend"
    code = WORK.replace("MODEL", repr(str(model))).replace("FILE", repr(str(file))) + UPDATE
    profile.python(code, "--online-mode", PEEKABOO_PYTHON=str(ENGINE.python))
    assert version_of(profile) == "99.0.0"
    (take,) = (tmp_path / "peekaboo").iterdir()
    assert {"clip.mp4", "clip.json", "thumbnail.png"} <= {path.name for path in take.iterdir()}
    profile.python(SEEN, file)

    assert list((profile.folder / "extensions").rglob("peekaboo/engine/python"))
    extension(profile, "remove", "of_a_test.peekaboo")
    assert not [path for path in profile.folder.rglob("*peekaboo*") if "cache" not in path.parts]
    assert take.is_dir(), "clips are the user's"


def test_a_release_is_whole_and_its_sums_and_index_are_those_of_its_package(tmp_path, release_of):
    folder = tmp_path / "out"
    release_of(folder, OLDER)
    package = release_of(folder, "1.2.3")
    assert sorted(path.name for path in folder.iterdir()) == [
        "NOTES.md",
        "SHA256SUMS",
        "index.json",
        f"peekaboo-{OLDER}.zip",
        "peekaboo-1.2.3.zip",
    ]
    checked = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True, text=True
    )
    assert checked.returncode == 0 and checked.stdout.count(": OK") == 2
    (entry,) = json.loads((folder / "index.json").read_text("utf-8"))["data"]
    assert (entry["id"], entry["version"]) == ("peekaboo", "1.2.3")
    assert entry["archive_url"] == "./peekaboo-1.2.3.zip"
    assert entry["archive_hash"] == f"sha256:{hashlib.sha256(package.read_bytes()).hexdigest()}"
    assert (folder / "NOTES.md").read_text("utf-8") == "# Peekaboo 1.2.3 (2026-01-31)\n\nIt is 1.2.3.\n"

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert release_of(folder, "1.2.3") == package, "the same again is no other release"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_published_package_is_never_replaced_by_another(tmp_path, release_of):
    folder = tmp_path / "out"
    folder.mkdir()
    with zipfile.ZipFile(folder / "peekaboo-1.2.3.zip", "w") as published:
        published.writestr("blender_manifest.toml", "another")
    before = (folder / "peekaboo-1.2.3.zip").read_bytes()
    with pytest.raises(CommandError, match="a release never changes"):
        release_of(folder, "1.2.3")
    assert [path.name for path in folder.iterdir()] == ["peekaboo-1.2.3.zip"]
    assert (folder / "peekaboo-1.2.3.zip").read_bytes() == before


def test_what_blender_refuses_is_not_released(tmp_path, release_of):
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(CommandError, match="Blender's extension validate refuses the package"):
        release_of(folder, "not.a.version")
    assert not list(folder.iterdir())
