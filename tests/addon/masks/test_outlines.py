# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a subject, and what becomes of broken, hidden and flattened ones."""

import math

import bpy
import numpy as np
import pytest
from scenes import PROMPT, add_camera, add_empty, add_mesh

from blender_addon.errors import PeekabooError
from blender_addon.masks import sampling
from blender_addon.shot import subjects
from blender_addon.shot.layout import check_in_view, read_layout

SIZE = (96, 64)


def look(scene, time=1):
    """The label map of a scene's subjects at a time."""
    roles = subjects.roles_of(scene)
    return sampling.sample(scene, roles, [time], lambda sampler: sampler.label_map(time, *SIZE))


@pytest.fixture
def cube(scene):
    add_camera(scene)
    scene.peekaboo.prompt = PROMPT
    return add_empty(scene)


def test_a_subject_is_absent_while_it_is_hidden_from_render(scene, cube):
    for frame, hidden in ((1, True), (5, False)):
        cube.hide_render = hidden
        cube.keyframe_insert("hide_render", frame=frame)
    assert [look(scene, frame).any() for frame in (1, 4, 5)] == [False, False, True]


@pytest.mark.parametrize("disable", ["hide_viewport", "hide_set"])
def test_hiding_in_the_viewport_changes_nothing(scene, cube, disable):
    cube.location.x = -1
    cube.keyframe_insert("location", frame=1)
    before, objects = look(scene), len(bpy.data.objects)
    if disable == "hide_set":
        cube.hide_set(True)
    else:
        cube.hide_viewport = scene.camera.hide_viewport = True
    assert np.array_equal(look(scene), before) and before.any()
    assert len(bpy.data.objects) == objects


@pytest.mark.parametrize("how", ["exclude", "hide_render"])
def test_what_its_collection_keeps_from_render_is_no_subject(scene, cube, how):
    collection = bpy.data.collections.new("Takes")
    scene.collection.children.link(collection)
    collection.objects.link(cube)
    scene.collection.objects.unlink(cube)
    assert [role.objects for role in subjects.roles_of(scene)] == [(cube,)]
    if how == "exclude":
        bpy.context.view_layer.layer_collection.children["Takes"].exclude = True
    else:
        collection.hide_render = True
    with pytest.raises(PeekabooError, match="has no subject"):
        subjects.roles_of(scene)


@pytest.mark.parametrize("display", ["CUBE", "SPHERE", "CONE", "CIRCLE", "IMAGE"])
def test_a_flattened_subject_is_seen_as_flat(scene, cube, display):
    cube.empty_display_type = display
    cube.rotation_euler.x = 0.7
    before = look(scene)
    cube.scale.z = 0.0
    flat = look(scene)
    assert (display == "CIRCLE") or flat.any()
    assert np.count_nonzero(flat) <= np.count_nonzero(before)


@pytest.mark.parametrize("scale", [(0, 0, 0), (0, 0, 1)])
def test_a_subject_without_area_is_not_seen_and_refused_when_that_is_all(scene, cube, scale):
    cube.scale = scale
    assert not look(scene).any()
    with pytest.raises(PeekabooError, match="give it a size"):
        check_in_view(scene, read_layout(scene, *SIZE, 2))


def test_a_transform_that_is_not_a_number_is_refused(scene, cube):
    cube.location.x = math.nan
    bpy.context.view_layer.update()
    with pytest.raises(PeekabooError, match="not a number"):
        look(scene)
    assert len(bpy.data.scenes) == 1


def test_an_object_without_extent_is_refused_by_its_type(scene, cube):
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    scene.collection.objects.link(lamp)
    lamp.peekaboo.is_subject = True
    with pytest.raises(PeekabooError, match='"Lamp" is of type light'):
        look(scene)


def test_a_subject_of_a_linked_library_is_projected(scene, cube, tmp_path):
    expected = look(scene)
    library = str(tmp_path / "library.blend")
    bpy.data.libraries.write(library, {cube})
    bpy.data.objects.remove(cube)
    with bpy.data.libraries.load(library, link=True) as (source, linked):
        linked.objects = source.objects[:1]
    scene.collection.objects.link(linked.objects[0])
    assert np.array_equal(look(scene), expected)


def test_the_scene_hides_subjects_when_asked(scene, cube):
    wall = add_mesh(scene, [(-5, -3, -5), (0, -3, -5), (0, -3, 5), (-5, -3, 5)], [(0, 1, 2, 3)])
    free = look(scene)
    scene.peekaboo.occluded_by_scene = True
    hidden = look(scene)
    assert not hidden[:, : SIZE[0] // 2].any()
    assert np.array_equal(hidden[:, SIZE[0] // 2 :], free[:, SIZE[0] // 2 :])
    wall.hide_render = True
    assert np.array_equal(look(scene), free)


def test_motion_blur_covers_what_a_fast_subject_passes(scene, cube):
    cube.scale = (0.2, 0.2, 0.2)
    for frame, x in ((1, -2), (3, 2)):
        cube.location.x = x
        cube.keyframe_insert("location", frame=frame)
    sharp = look(scene, 2)
    scene.peekaboo.motion_blur = True
    scene.render.motion_blur_shutter = 1.0
    blurred = look(scene, 2)
    assert (blurred[sharp > 0] == 1).all()
    assert np.count_nonzero(blurred) > 2 * np.count_nonzero(sharp)


def test_a_hull_has_room_where_the_surface_has_none(scene, cube):
    cube.peekaboo.enabled = False
    ring = add_mesh(
        scene,
        [(x * s, 0, z * s) for s in (1, 0.8) for x, z in ((-1, -1), (1, -1), (1, 1), (-1, 1))],
        [(i, (i + 1) % 4, 4 + (i + 1) % 4, 4 + i) for i in range(4)],
    )
    ring.peekaboo.is_subject = True
    middle = SIZE[1] // 2, SIZE[0] // 2
    assert look(scene)[middle] == 1
    ring.peekaboo.outline = "SURFACE"
    assert look(scene)[middle] == 0 and look(scene).any()


def test_a_deforming_mesh_does_not_keep_its_first_hull(scene, cube):
    cube.peekaboo.enabled = False
    mesh = add_mesh(scene, [(-1, 0, -1), (1, 0, -1), (0, 0, 1)], [(0, 1, 2)])
    mesh.peekaboo.is_subject = True
    mesh.shape_key_add(name="Basis")
    key = mesh.shape_key_add(name="Wide")
    key.data[1].co.x = 4
    for frame, value in ((1, 0), (9, 1)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    first, last = (np.count_nonzero(look(scene, time)) for time in (1, 9))
    assert last > 1.5 * first


def test_a_subject_that_follows_a_simulated_one_is_refused(scene, cube):
    body = add_mesh(scene, [(-1, 0, -1), (1, 0, -1), (0, 0, 1)], [(0, 1, 2)], name="Body")
    bpy.context.view_layer.objects.active = body
    bpy.ops.rigidbody.world_add()
    bpy.ops.rigidbody.object_add()
    assert look(scene).any()
    cube.parent = body
    with pytest.raises(PeekabooError, match='simulation of "Body" has not been baked'):
        look(scene)


def test_modifiers_count_as_they_are_set_for_rendering(scene, cube):
    cube.peekaboo.enabled = False
    mesh = add_mesh(scene, [(-1, 0, -1), (0, 0, -1), (0, 0, 1), (-1, 0, 1)], [(0, 1, 2, 3)])
    mesh.peekaboo.is_subject = True
    one = np.count_nonzero(look(scene))
    array = mesh.modifiers.new("Array", "ARRAY")
    array.count = 3
    three = np.count_nonzero(look(scene))
    array.show_viewport = False
    assert np.count_nonzero(look(scene)) == three > 2 * one
    array.show_viewport, array.show_render = True, False
    assert np.count_nonzero(look(scene)) == one
    assert (array.show_viewport, array.show_render) == (True, False)
