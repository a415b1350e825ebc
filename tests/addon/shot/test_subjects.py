# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that are subjects."""

import bpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import add_empty, add_mesh

from blender_addon.shot import subjects


@given(st.integers(0, 60))
def test_colours_differ_from_those_before(count):
    color = subjects.new_color(count)
    nearest = min(
        (max(abs(a - b) for a, b in zip(color, subjects.new_color(i), strict=True)) for i in range(count)),
        default=1,
    )
    assert nearest > 0.03 / max(1, count / 20)


@pytest.fixture
def linked(scene, tmp_path):
    """A collection "Hero" of another file, with a mesh and its armature, linked into a saved scene."""
    hero = add_mesh(scene, [(-1, 0, -1), (1, 0, -1), (0, 0, 1)], [(0, 1, 2)], "Hero")
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    hero.parent = rig
    collection = bpy.data.collections.new("Hero")
    for obj in (hero, rig):
        collection.objects.link(obj)
    library = str(tmp_path / "library.blend")
    bpy.data.libraries.write(library, {collection})
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.collections = ["Hero"]
    bpy.context.scene.collection.children.link(wanted.collections[0])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    return wanted.collections[0]


def select(*objects):
    for obj in bpy.context.scene.objects:
        obj.select_set(obj in objects)
    bpy.context.view_layer.objects.active = objects[0]


SETTINGS = {"phrase": "a tin robot", "outline": "SURFACE", "strength": 0.25, "enabled": False}


def test_a_library_override_keeps_all_settings_of_a_subject(linked, tmp_path):
    override = linked.override_hierarchy_create(
        bpy.context.scene, bpy.context.view_layer, do_fully_editable=True
    )
    obj = next(obj for obj in override.all_objects if obj.type == "MESH")
    select(obj)
    assert bpy.ops.peekaboo.make_subjects() == {"FINISHED"}
    for name, value in SETTINGS.items():
        setattr(obj.peekaboo, name, value)
    color = tuple(obj.peekaboo.color)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    stated = [item.rna_path for item in obj.override_library.properties]
    assert "peekaboo.phrase" in stated and "peekaboo" not in stated  # as one, Blender 5 may lose them
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    (obj,) = (obj for obj in bpy.context.scene.objects if obj.type == "MESH" and obj.override_library)
    assert obj.peekaboo.is_subject and tuple(obj.peekaboo.color) == pytest.approx(color)
    assert {name: getattr(obj.peekaboo, name) for name in SETTINGS} == SETTINGS


def test_every_setting_of_a_subject_can_be_overridden(scene):
    cube = add_empty(scene)
    names = [item.identifier for item in cube.peekaboo.bl_rna.properties if not item.is_readonly]
    assert "is_subject" in names
    assert all(cube.peekaboo.is_property_overridable_library(name) for name in names if name != "name")


@pytest.mark.parametrize("kind", ["linked", "locked"])
def test_what_a_file_would_not_keep_is_not_marked(linked, kind):
    objects = linked.all_objects
    if kind == "locked":
        objects = linked.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer).all_objects
    select(*objects)
    assert not bpy.ops.peekaboo.make_subjects.poll()
    with pytest.raises(RuntimeError, match="make a library override that is editable"):
        bpy.ops.peekaboo.make_subjects()
    bpy.context.object.peekaboo.is_subject = True  # as its own file may have it
    assert not bpy.ops.peekaboo.remove_subject.poll()


def test_a_copy_keeps_its_colour_until_it_has_a_phrase_of_its_own(scene):
    ball, copy = add_empty(scene), add_empty(scene)
    scene.peekaboo.prompt = "a red ball and a blue ball"
    assert tuple(copy.peekaboo.color) == tuple(ball.peekaboo.color)  # both are one subject
    copy.peekaboo.phrase = "a blue ball"
    first, second = tuple(ball.peekaboo.color), tuple(copy.peekaboo.color)
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 0.1
    copy.peekaboo.phrase = "the blue ball"
    assert tuple(copy.peekaboo.color) == second


def test_subjects_that_are_alike_are_shown_in_colours_of_their_own(scene):
    first = subjects.new_color(0)
    shown = subjects.apart([first, subjects.new_color(1), first, first])
    assert len(set(shown)) == 4 and shown[:2] == [first, subjects.new_color(1)]


def test_a_new_subject_has_no_colour_that_another_has(scene):
    first, second, third = (add_mesh(scene, [], [], name) for name in "abc")
    subjects.mark(scene, first)
    subjects.mark(scene, second)
    subjects.unmark(first)
    subjects.mark(scene, third)
    assert tuple(third.peekaboo.color) != tuple(second.peekaboo.color)
