# SPDX-License-Identifier: GPL-3.0-or-later
"""What other programs get: masks, Cryptomattes that Blender's compositor reads, depth, and white models."""

import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from held import compositor
from scenes import add_empty, add_mesh, small_shot
from test_unfollowed import displaced

from blender_addon import changes, compat
from blender_addon.borders import drafts
from blender_addon.errors import PeekabooError
from blender_addon.masks import cryptomatte
from blender_addon.shot import subjects
from blender_addon.shot.layout import read_layout, timing_of_each_frame
from blender_addon.shot.mattes import KINDS, OF_ALL, write_in_turns, write_mattes

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
    folders = write_mattes(moving, "png", tmp_path)
    labels = expected(moving)
    assert [folder.name for folder in folders] == ["Ball_1", "Würfel"]
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
    folder, _ = write_mattes(moving, "png", tmp_path, lambda *numbers: told.append(numbers))
    assert [path.name[-8:] for path in sorted(folder.iterdir())] == ["0001.png", "0004.png"]
    assert told == [(1, 2), (2, 2)]
    assert pixels(folder / f"{folder.name}.0004.png").shape == (HEIGHT, WIDTH // 2)


def composited(scene, path, name, tmp_path):
    """What Blender's own Cryptomatte node takes out of a file for a name: float (height, width)."""
    tree, out = compositor(scene)
    node = tree.nodes.new("CompositorNodeCryptomatteV2")
    node.source = "IMAGE"
    node.image = bpy.data.images.load(str(path))
    node.matte_id = name
    _ = node.image.size[0]  # which loads it: 4.2 composites what is loaded
    tree.links.new(node.outputs["Matte"], out.inputs[0])
    render = scene.render
    render.engine, render.resolution_percentage = "CYCLES", 50
    render.use_compositing, scene.cycles.samples = True, 1
    scene.view_settings.view_transform = "Raw"
    render.image_settings.file_format, render.image_settings.color_depth = "OPEN_EXR", "32"
    render.filepath = str(tmp_path / "matte.exr")
    bpy.ops.render.render(write_still=True)
    return pixels(tmp_path / "matte.exr")


@pytest.mark.parametrize(("smooth", "blurred"), [(False, False), (True, False), (False, True), (True, True)])
def test_blenders_compositor_finds_the_pictures_masks_in_the_cryptomatte(moving, tmp_path, smooth, blurred):
    roles, labels = subjects.roles_of(moving), expected(moving)
    moving.peekaboo.motion_blur = blurred
    moving.render.motion_blur_shutter = 1
    files = write_mattes(moving, "exr", tmp_path / "{out}", smooth=smooth)
    assert [path.name for path in files] == [f"Scene.000{n}.exr" for n in range(1, 5)]
    assert sorted(files) == sorted((tmp_path / "{out}").iterdir())
    pictures = write_mattes(moving, "png", tmp_path / "png", smooth=smooth)
    for label, (role, folder) in enumerate(zip(roles, pictures, strict=True), start=1):
        found = composited(moving, files[2], role.name, tmp_path)
        picture = pixels(folder / f"{folder.name}.0003.png")
        assert np.abs(found - picture).max() < 1 / 255, role.name
        whole = (labels[2] == label).astype(float)
        if not (smooth or blurred):
            assert np.array_equal(found, whole)
        elif smooth or role.name == "Ball 1":  # the other one stands still
            assert np.count_nonzero((found > 0) & (found < 1)) > 10 and abs(found - whole).mean() < 0.05


def test_the_sequencer_reads_masks_and_cryptomattes_as_pictures(moving, tmp_path):
    labels = expected(moving)
    (picture, _), layered = write_mattes(moving, "png", tmp_path), write_mattes(moving, "exr", tmp_path)
    render = moving.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = WIDTH, HEIGHT, 100
    render.image_settings.file_format = "PNG"
    moving.view_settings.view_transform = "Raw"
    compat.show_in_sequencers(moving)
    files = [(picture / f"{picture.name}.0002.png", labels[1] == 1)]
    if bpy.app.version >= (4, 3):  # the sequencer of 4.2 shows next to nothing of such a file
        files.append((layered[1], labels[1] > 0))
    for path, seen in files:
        moving.sequence_editor_clear()
        editor = moving.sequence_editor_create()
        strips = compat.strips(editor)
        strips.new_image("Masks", str(path), channel=1, frame_start=1)
        render.filepath = str(tmp_path / "edited.png")
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(render.filepath)
        found = np.array(image.pixels).reshape(HEIGHT, WIDTH, 4)[::-1, :, :3].max(axis=2)
        bpy.data.images.remove(image)
        assert np.array_equal(found > 0.1, seen), path.name


def test_what_is_shown_is_told_in_the_file(moving, tmp_path):
    files = write_mattes(moving, "exr", tmp_path)
    content = files[0].read_bytes()
    for part in (b"Peekaboo.CryptoObject00.R", b"Peekaboo.Depth.Z", b"MurmurHash3_32", "Würfel".encode()):
        assert part in content
    assert len(bpy.data.scenes) == 1


def test_subjects_of_one_name_are_told_apart(moving, tmp_path):
    """One of them is linked, so that Blender lets it have the name of another."""
    library = tmp_path / "library.blend"
    bpy.data.libraries.write(str(library), {bpy.data.objects["Ball 1"]})
    bpy.data.objects["Ball 1"].peekaboo.phrase = "another ball"
    with bpy.data.libraries.load(str(library), link=True) as (_, linked):
        linked.objects = ["Ball 1"]
    moving.collection.objects.link(linked.objects[0])
    bpy.context.view_layer.update()
    names = ["Ball 1", "Ball 1 [library.blend]", "Würfel"]
    read = read_layout(moving, WIDTH, HEIGHT, 2)
    assert sorted(subject.name for subject in read.subjects)[1:] == names[1:]
    assert len(write_mattes(moving, "png", tmp_path / "png")) == 3
    content = write_mattes(moving, "exr", tmp_path / "exr")[0].read_bytes()
    assert all(name.encode() in content for name in names)


def test_depth_is_that_of_all_that_a_render_shows(moving, tmp_path):
    add_mesh(moving, [(-9, 6, -9), (9, 6, -9), (9, 2, 9), (-9, 2, 9)], [(0, 1, 2, 3)])
    labels = expected(moving)
    (folder,) = write_mattes(moving, "depth", tmp_path)
    assert len(list(folder.glob("*.exr"))) == len(list(folder.glob("*.png"))) == 4
    depths = pixels(folder / f"{folder.name}.0002.exr")
    camera = moving.camera.matrix_world.translation
    assert (depths < 1e10).all() and depths[labels[1] > 0].max() < depths[labels[1] == 0].min()
    wall = depths[:, 0] + camera.y  # which leans by 4 in 18
    rows = (0.5 - (np.arange(HEIGHT) + 0.5) / HEIGHT) * HEIGHT / WIDTH * 36 / moving.camera.data.lens
    height = camera.z + rows * depths[:, 0]
    assert np.allclose(wall, 6 - (height + 9) * 4 / 18, atol=1e-3)
    bright = [pixels(folder / f"{folder.name}.{frame:04}.png") for frame in range(1, 5)]
    assert np.max(bright) == 1 and np.min(bright) == 0
    near, far = bright[1][labels[1] > 0], bright[1][labels[1] == 0]
    assert near.min() > far.max()
    assert (np.abs(255 * far - np.rint(255 * far)) > 0.1).any()  # more than 8 bits


def test_a_white_model_shows_empties_as_solids_and_the_scene_around(moving, tmp_path):
    labels = expected(moving) > 0
    known = {name: len(getattr(bpy.data, name)) for name in ("objects", "materials", "meshes", "collections")}
    (folder,) = write_mattes(moving, "white", tmp_path)
    found = pixels(folder / f"{folder.name}.0003.png")
    shifted = [np.roll(labels[2], (x, y), (0, 1)) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    edges = np.any(shifted, axis=0) != np.all(shifted, axis=0)
    assert np.array_equal(found[~edges] > 0.02, labels[2][~edges])
    assert {name: len(getattr(bpy.data, name)) for name in known} == known
    wall = add_mesh(moving, [(-9, 5, -9), (9, 5, -9), (9, 5, 9), (-9, 5, 9)], [(0, 1, 2, 3)])
    bpy.data.objects["Ball 1"].hide_render = True
    (folder,) = write_mattes(moving, "white", tmp_path)
    assert (pixels(folder / f"{folder.name}.0003.png") > 0).all()
    wall.is_holdout = True
    (folder,) = write_mattes(moving, "white", tmp_path)
    found = pixels(folder / f"{folder.name}.0003.png") > 0
    assert found.any() and not found[:, : WIDTH // 8].any()


def test_a_white_model_has_no_box_around_smoke(moving, tmp_path):
    moving.frame_end = 1
    for obj in list(moving.objects):
        subjects.unmark(obj)
        obj.hide_render = True
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.object.modifiers.new("Fluid", "FLUID").fluid_type = "DOMAIN"
    (folder,) = write_mattes(moving, "white", tmp_path)
    assert not pixels(folder / f"{folder.name}.0001.png").any()


def test_a_white_model_shows_nothing_undisplaced_without_a_word(moving, tmp_path):
    moving.frame_end = 1
    bpy.ops.mesh.primitive_cube_add(location=(0, 5, 0))
    displaced(bpy.context.object)
    sentence = r'"Cube" is displaced by its material "Rock", .* to Bump Only\.$'
    with pytest.raises(PeekabooError, match=sentence):
        write_mattes(moving, "white", tmp_path)
    bpy.context.object.location.y = -50
    assert write_mattes(moving, "white", tmp_path)


@pytest.mark.parametrize(("kind", "less"), [("depth", ""), ("exr", ", or turn off Occluded by Scene")])
def test_what_keeps_depth_from_being_found_has_a_way_out_that_leads_out(moving, tmp_path, kind, less):
    moving.peekaboo.occluded_by_scene = True
    bpy.ops.mesh.primitive_cube_add(location=(0, 5, 0))
    displaced(bpy.context.object)
    with pytest.raises(PeekabooError, match=rf"set Displacement .* to Bump Only{less}\.$"):
        write_mattes(moving, kind, tmp_path)


def test_our_own_handlers_are_told_nothing_of_what_is_sampled(moving, tmp_path):
    told = []

    def ours(*_):
        told.append(1)

    ours.__module__ = changes.__name__
    handlers = bpy.app.handlers.frame_change_post
    handlers.append(ours)
    before = sorted(map(repr, handlers))
    try:
        write_mattes(moving, "png", tmp_path)
        assert not told and sorted(map(repr, handlers)) == before
    finally:
        handlers.remove(ours)


@pytest.mark.parametrize("kind", KINDS)
def test_what_fails_leaves_nothing(moving, tmp_path, kind):
    add_empty(moving).location.x = float("nan")
    bpy.context.view_layer.update()
    with pytest.raises(PeekabooError, match="not a number"):
        write_mattes(moving, kind, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()) and len(bpy.data.scenes) == 1
    (tmp_path / "file").touch()
    with pytest.raises(PeekabooError, match="cannot be written"):
        write_mattes(moving, kind, tmp_path / "file" / "out")
    moving.frame_start, moving.frame_end = 5, 4
    if moving.frame_end < moving.frame_start:
        with pytest.raises(PeekabooError, match="set its frame range"):
            write_mattes(moving, kind, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "code"),
    [(b"", 0), (b"a", 0x3C2569B2), (b"hello", 0x248BFA47), (b"hello, world", 0x149BBB7F)],
)
def test_names_are_hashed_as_the_specification_says(text, code):
    assert cryptomatte.murmur3(text) == code


@pytest.mark.parametrize("kind", KINDS)
def test_the_operator_writes_masks_or_says_why_not(moving, tmp_path, kind):
    assert bpy.ops.peekaboo.export_masks(directory=str(tmp_path), kind=kind) == {"FINISHED"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == {"png": 8, "exr": 4, "depth": 8, "white": 4}[kind]
    with pytest.raises(RuntimeError, match="No folder was chosen"):
        bpy.ops.peekaboo.export_masks(directory="", kind=kind)
    moving.camera = None
    with pytest.raises(RuntimeError, match="has no camera"):
        bpy.ops.peekaboo.export_masks(directory=str(tmp_path), kind=kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", [write_mattes, lambda *given: list(write_in_turns(*given))])
def test_what_shows_all_of_a_scene_needs_no_subject(moving, tmp_path, kind, write):
    add_mesh(moving, [(-9, 5, -9), (9, 5, -9), (9, 5, 9), (-9, 5, 9)], [(0, 1, 2, 3)])
    for obj in moving.objects:
        subjects.unmark(obj)
    moving.peekaboo.motion_blur, moving.frame_end = True, 1
    if kind in OF_ALL:
        write(moving, kind, tmp_path)
        (picture,) = tmp_path.glob("*/*.0001.png")
        assert (pixels(picture) > 0).all()
    else:
        with pytest.raises(PeekabooError, match="has no subject"):
            write(moving, kind, tmp_path)


def test_a_white_model_in_turns_leaves_nothing_out_without_a_word(moving, tmp_path):
    """As the command refuses it, where other objects do not hide subjects either."""
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.rigidbody.object_add()
    for write in (write_mattes, lambda *given: list(write_in_turns(*given))):
        with pytest.raises(PeekabooError, match='rigid body simulation of "Cube" has not been baked'):
            write(moving, "white", tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from blender_addon.borders.drafts import draft_in
with draft_in(Path(sys.argv[2])) as draft:
    (draft / "much").write_bytes(bytes(1000))
    print("made", flush=True)
    sys.stdin.read()
"""


def test_a_draft_that_a_killed_program_left_goes_with_the_next_and_one_at_work_stays(tmp_path):
    root = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-c", KILLED, root, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"made"
        (elsewhere := tmp_path / "elsewhere").mkdir()
        (tmp_path / f"{drafts.PREFIX}link").symlink_to(elsewhere)
        with drafts.draft_in(tmp_path) as draft:
            assert len(list(tmp_path.glob("*/files/much"))) == 1 and not list(draft.iterdir())
        other.kill()
    with drafts.draft_in(tmp_path):
        assert not list(tmp_path.glob("*/files/much"))
    assert {path.name for path in tmp_path.iterdir()} == {"elsewhere", f"{drafts.PREFIX}link"}
