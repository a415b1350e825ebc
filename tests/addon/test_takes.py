# SPDX-License-Identifier: GPL-3.0-or-later
import bpy
import pytest

from blender_addon import takes
from blender_addon.errors import PeekabooError


def test_each_clip_has_a_folder_of_its_own_after_the_last(scene, tmp_path):
    scene.peekaboo.output_folder = str(tmp_path)
    scene.name = "Shot 1/a"
    assert [takes.new_folder(scene).name for _ in range(2)] == ["Shot_1_a_001", "Shot_1_a_002"]
    (tmp_path / "Shot_1_a_001").rmdir()
    (tmp_path / "Shot_1_a_1200").touch()
    assert takes.new_folder(scene).name == "Shot_1_a_1201"


def test_clips_go_beside_the_file(scene, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert takes.new_folder(bpy.context.scene) == tmp_path / "peekaboo" / "Scene_001"


def test_a_file_never_saved_has_no_place_beside_it(scene):
    with pytest.raises(PeekabooError, match="never saved: save it first, or choose an output folder"):
        takes.new_folder(scene)


def test_a_folder_that_cannot_be_written_is_named(scene, tmp_path):
    (tmp_path / "file").touch()
    scene.peekaboo.output_folder = str(tmp_path / "file")
    with pytest.raises(PeekabooError, match=r"file.* cannot be written .*: choose another one"):
        takes.new_folder(scene)
