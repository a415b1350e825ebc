# SPDX-License-Identifier: GPL-3.0-or-later
import bpy
import pytest
from bpy_extras.object_utils import world_to_camera_view
from scenes import add_camera, add_empty, add_mesh

from blender_addon.shot import subjects


@pytest.fixture
def camera(scene):
    camera = add_camera(scene)
    bpy.context.view_layer.update()
    return camera


def test_a_new_subject_is_an_enabled_empty_that_is_selected_alone(scene, camera):
    other = add_mesh(scene, [(0, 0, 0)], [])
    other.select_set(True)
    bpy.ops.peekaboo.add_subject(shape="CONE", size=0.5)
    empty = bpy.context.object
    assert (empty.type, empty.empty_display_type, empty.empty_display_size) == ("EMPTY", "CONE", 0.5)
    assert empty.peekaboo.is_subject and empty.peekaboo.enabled
    assert bpy.context.selected_objects == [empty]


@pytest.mark.parametrize("lens", [{}, {"type": "ORTHO"}, {"shift_x": 0.4, "lens": 80}])
def test_new_subjects_are_in_view_at_the_cursors_distance_and_apart(scene, lens):
    add_camera(scene, **lens)
    bpy.context.view_layer.update()
    places = []
    for _ in range(3):
        bpy.ops.peekaboo.add_subject()
        bpy.context.view_layer.update()
        places.append(world_to_camera_view(scene, scene.camera, bpy.context.object.location))
    assert [round(place.x, 3) for place in places] == [0.5, 0.25, 0.75]
    assert {(round(place.y, 3), round(place.z, 3)) for place in places} == {(0.5, 10.0)}


def test_a_cursor_behind_the_camera_does_not_put_the_subject_there(scene, camera):
    scene.cursor.location = (0, -50, 0)
    bpy.ops.peekaboo.add_subject()
    assert world_to_camera_view(scene, camera, bpy.context.object.location).z > 0


def test_a_subject_can_be_put_at_the_cursor_without_a_camera(scene):
    scene.cursor.location = (1, 2, 3)
    bpy.ops.peekaboo.add_subject(placement="CURSOR")
    assert tuple(bpy.context.object.location) == (1, 2, 3)


def test_without_a_camera_a_sentence_says_what_to_do(scene):
    with pytest.raises(RuntimeError, match="no camera to place the subject before: add one, or"):
        bpy.ops.peekaboo.add_subject()
    assert not list(scene.objects)


def test_selected_objects_become_subjects_and_stay_when_removed(scene, camera):
    mesh = add_mesh(scene, [(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)])
    for obj in (mesh, camera):
        obj.select_set(True)
    bpy.context.view_layer.objects.active = mesh
    bpy.ops.peekaboo.make_subjects()
    assert subjects.marked(scene) == [mesh]
    assert not bpy.ops.peekaboo.make_subjects.poll()
    mesh.peekaboo.phrase = "a red ball"
    bpy.ops.peekaboo.remove_subject()
    assert subjects.marked(scene) == [] and mesh.name in scene.objects
    bpy.ops.peekaboo.make_subjects()
    assert mesh.peekaboo.phrase == "a red ball"


def test_parts_of_a_subject_are_not_offered_to_be_one_until_it_is_removed(scene, camera):
    whole, part = (add_mesh(scene, [(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)]) for _ in range(2))
    for obj in (whole, part):
        obj.select_set(True)
    bpy.context.view_layer.objects.active = whole
    bpy.ops.peekaboo.make_subjects(together=True)
    assert subjects.marked(scene) == [whole] and not bpy.ops.peekaboo.make_subjects.poll()
    bpy.ops.peekaboo.remove_subject()
    bpy.ops.peekaboo.make_subjects()
    assert subjects.marked(scene) == [whole, part]


def test_choosing_in_the_list_selects_in_the_scene(scene):
    first, second = add_empty(scene), add_empty(scene)
    for obj in (first, second):
        scene.peekaboo.active_subject = scene.objects.find(obj.name)
        assert bpy.context.object == obj and bpy.context.selected_objects == [obj]
        assert scene.objects[scene.peekaboo.active_subject] == obj
