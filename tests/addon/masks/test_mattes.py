# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks for other programs: black-and-white pictures, and Cryptomattes that Blender's compositor reads."""

import bpy
import numpy as np
import pytest
from scenes import add_empty, small_shot

from blender_addon.errors import PeekabooError
from blender_addon.masks import mattes
from blender_addon.shot import subjects
from blender_addon.shot.layout import read_layout, timing_of_each_frame

WIDTH, HEIGHT = 72, 48


@pytest.fixture
def moving(scene):
    """Two subjects over four frames, one of which moves, in pictures of WIDTH x HEIGHT."""
    ball, cube = small_shot(scene, frames=4)
    scene.render.resolution_x, scene.render.resolution_y = 2 * WIDTH, 2 * HEIGHT
    scene.render.resolution_percentage = 50
    for frame, x in ((1, -2), (4, 0.5)):
        ball.location.x = x
        ball.keyframe_insert("location", frame=frame)
    ball.name, cube.name = "Ball 1", "Würfel"
    return scene


def expected(scene):
    timing = timing_of_each_frame(scene)
    return read_layout(scene, WIDTH, HEIGHT, 1, timing=timing).labels


def pixels(path):
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    return np.array(image.pixels).reshape(height, width, 4)[::-1, :, 0]


def test_each_subject_gets_a_black_and_white_picture_of_each_frame(moving, tmp_path):
    folders = mattes.write_pngs(moving, subjects.roles_of(moving), tmp_path)
    labels = expected(moving)
    assert [folder.name for folder in folders] == [bpy.path.clean_name(name) for name in ("Ball 1", "Würfel")]
    for label, folder in enumerate(folders, start=1):
        pictures = [f"{folder.name}.000{number}.png" for number in range(1, 5)]
        assert sorted(path.name for path in folder.iterdir()) == pictures
        for frame in range(1, 5):
            found = pixels(folder / f"{folder.name}.{frame:04}.png")
            assert np.array_equal(found, (labels[frame - 1] == label).astype(float))
    assert len(list(tmp_path.iterdir())) == 2  # no draft is left


def test_the_scenes_step_and_crop_count(moving, tmp_path):
    moving.frame_step = 3
    render = moving.render
    render.use_border = render.use_crop_to_border = True
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.25, 0.75, 0, 1
    told = []
    folder, _ = mattes.write_pngs(
        moving, subjects.roles_of(moving), tmp_path, lambda *numbers: told.append(numbers)
    )
    assert [path.name[-8:] for path in sorted(folder.iterdir())] == ["0001.png", "0004.png"]
    assert told == [(1, 2), (2, 2)]
    assert pixels(folder / f"{folder.name}.0004.png").shape == (HEIGHT, WIDTH // 2)


def matte_from_compositor(scene, path, name, tmp_path):
    """What Blender's own Cryptomatte node takes out of a file for a name: float (height, width)."""
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    node = tree.nodes.new("CompositorNodeCryptomatteV2")
    node.source = "IMAGE"
    node.image = bpy.data.images.load(str(path))
    node.matte_id = name
    out = tree.nodes.new("CompositorNodeComposite")
    tree.links.new(node.outputs["Matte"], out.inputs["Image"])
    render = scene.render
    render.engine, render.resolution_percentage = "CYCLES", 50
    scene.cycles.samples = 1
    scene.view_settings.view_transform = "Raw"
    render.image_settings.file_format, render.image_settings.color_depth = "OPEN_EXR", "32"
    render.filepath = str(tmp_path / "matte.exr")
    bpy.ops.render.render(write_still=True)
    return pixels(tmp_path / "matte.exr")


@pytest.mark.skipif(bpy.app.version >= (5, 0, 0), reason="the compositor is built by other calls there")
def test_blenders_compositor_reads_the_cryptomatte(moving, tmp_path):
    roles = subjects.roles_of(moving)
    labels = expected(moving)
    files = mattes.write_cryptomatte(moving, roles, [(1, 0, 0), (0, 0, 1)], tmp_path / "out")
    assert [path.name for path in files] == [f"Scene.000{n}.exr" for n in range(1, 5)]
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    for label, role in enumerate(roles, start=1):
        found = matte_from_compositor(moving, files[2], role.name, tmp_path)
        assert np.count_nonzero(found) == np.count_nonzero(labels[2] == label), role.name
        assert np.array_equal(found == 1, labels[2] == label)


def test_what_is_shown_is_told_in_the_file(moving, tmp_path):
    files = mattes.write_cryptomatte(moving, subjects.roles_of(moving), [(1, 0, 0)] * 2, tmp_path)
    content = files[0].read_bytes()
    for part in (b"Peekaboo.CryptoObject00.R", b"Peekaboo.Depth.Z", b"MurmurHash3_32", "Würfel".encode()):
        assert part in content
    assert len(bpy.data.scenes) == 1


def write_white(scene, roles, folder):
    return mattes.write_cryptomatte(scene, roles, [(1, 1, 1)] * len(roles), folder)


@pytest.mark.parametrize("write", [mattes.write_pngs, write_white])
def test_what_fails_leaves_nothing(moving, tmp_path, write):
    add_empty(moving).location.x = float("nan")
    bpy.context.view_layer.update()
    with pytest.raises(PeekabooError, match="not a number"):
        write(moving, subjects.roles_of(moving), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()) and len(bpy.data.scenes) == 1
    (tmp_path / "file").touch()
    with pytest.raises(PeekabooError, match="cannot be written"):
        write(moving, subjects.roles_of(moving), tmp_path / "file" / "out")


@pytest.mark.parametrize(
    ("text", "code"),
    [(b"", 0), (b"a", 0x3C2569B2), (b"hello", 0x248BFA47), (b"hello, world", 0x149BBB7F)],
)
def test_names_are_hashed_as_the_specification_says(text, code):
    assert mattes.murmur3(text) == code


@pytest.mark.parametrize("kind", ["png", "exr"])
def test_the_operator_writes_masks_or_says_why_not(moving, tmp_path, kind):
    assert bpy.ops.peekaboo.export_masks(directory=str(tmp_path), kind=kind) == {"FINISHED"}
    assert len(list(tmp_path.rglob(f"*.{kind}"))) == (8 if kind == "png" else 4)
    moving.camera = None
    with pytest.raises(RuntimeError, match="has no camera"):
        bpy.ops.peekaboo.export_masks(directory=str(tmp_path), kind=kind)
    for obj in moving.objects:
        subjects.unmark(obj)
    assert not bpy.ops.peekaboo.export_masks.poll()
