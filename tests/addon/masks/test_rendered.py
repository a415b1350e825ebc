# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks are what Blender's renderer shows: scenes from public reports, each held against Cycles."""

import math

import bpy
import numpy as np
import pytest
from held import HEIGHT, WIDTH, agree, layout, mask, primitive, rendered, subject, zones
from scenes import add_mesh
from truth import render_labels

from blender_addon.errors import PeekabooError
from blender_addon.shot import subjects
from blender_addon.shot.layout import read_layout, read_shot

WALL = [(-4, 0, -4), (0, 0, -4), (0, 0, 4), (-4, 0, 4)]


def show_otherwise_in_viewport(obj):
    group, _, out, viewport, switch, small, large = zones(
        "GeometryNodeIsViewport", "GeometryNodeSwitch", "GeometryNodeMeshCube", "GeometryNodeMeshUVSphere"
    )
    switch.input_type = "GEOMETRY"
    small.inputs["Size"].default_value = (0.5, 0.5, 0.5)
    for source, target in (
        (viewport.outputs[0], switch.inputs["Switch"]),
        (large.outputs["Mesh"], switch.inputs["False"]),
        (small.outputs["Mesh"], switch.inputs["True"]),
        (switch.outputs[0], out.inputs[0]),
    ):
        group.links.new(source, target)
    obj.modifiers.new("Nodes", "NODES").node_group = group
    # The material of the truth is set on the object's own mesh, which the nodes replace
    return obj


def test_what_only_a_render_shows_is_masked(stage):
    show_otherwise_in_viewport(subject(primitive("cube", "Ball", size=0.4)))
    assert np.count_nonzero(mask(stage)) > 300  # the large ball, not the small cube


def test_curves_have_the_resolution_of_a_render(stage):
    bpy.ops.curve.primitive_bezier_circle_add(rotation=(math.pi / 2, 0, 0))
    ring = subject(bpy.context.object)
    ring.data.dimensions, ring.data.fill_mode = "2D", "BOTH"
    ring.data.resolution_u, ring.data.render_resolution_u = 1, 24
    found = mask(stage)
    assert agree(found, rendered(stage, ring))


def test_the_simplification_of_a_render_counts(stage):
    ball = subject(primitive("cube", "Ball"))
    ball.modifiers.new("Subdivision", "SUBSURF").render_levels = 3
    smooth = mask(stage)
    stage.render.use_simplify, stage.render.simplify_subdivision_render = True, 0
    found = mask(stage)
    assert np.count_nonzero(found) > np.count_nonzero(smooth)
    assert agree(found, rendered(stage, ball))


@pytest.mark.parametrize("marked", [0, 1])
def test_metaballs_of_one_family_are_one_surface(stage, marked):
    balls = []
    for place in (-0.8, 0, 0.8):
        data = bpy.data.metaballs.new("Blob")
        data.render_resolution = 0.15
        data.elements.new().radius = 0.9
        balls.append(bpy.data.objects.new("Blob", data))
        balls[-1].location.x = place
        stage.collection.objects.link(balls[-1])
    subject(balls[marked])
    found = mask(stage)
    assert agree(found, rendered(stage, *balls))


@pytest.mark.parametrize("marked", ["instancer", "child"])
@pytest.mark.parametrize("shown", [True, False])
def test_what_is_instanced_on_elements_is_seen_there(stage, marked, shown):
    frame = primitive("plane", "Frame", size=3, rotation=(math.pi / 2, 0, 0))
    lamp = primitive("uv_sphere", "Lamp", radius=0.4)
    lamp.parent = frame
    frame.instance_type = "VERTS"
    frame.show_instancer_for_render = shown
    frame.show_instancer_for_viewport = not shown
    subject(frame if marked == "instancer" else lamp)
    found = mask(stage)
    if marked == "child":  # the truth: its own, seen through a frame that is not there
        frame.show_instancer_for_render = False
    assert agree(found, rendered(stage, frame, lamp))


@pytest.mark.parametrize("marked", ["instancer", "wall"])
def test_an_instanced_child_that_is_hidden_by_keyframes_is_refused(stage, marked):
    frame = primitive("plane", "Frame", size=3, rotation=(math.pi / 2, 0, 0))
    lamp = primitive("uv_sphere", "Lamp", radius=0.4)
    lamp.parent = frame
    frame.instance_type = "VERTS"
    for hidden, at in ((False, 1), (True, 4)):
        lamp.hide_render = hidden
        lamp.keyframe_insert("hide_render", frame=at)
    subject(frame if marked == "instancer" else primitive("cube", "Wall"))
    stage.peekaboo.occluded_by_scene = True
    assert mask(stage, 3).any()
    with pytest.raises(PeekabooError, match=r'"Lamp" is hidden .* "Frame" instances it'):
        mask(stage, 4)


def test_an_instanced_object_that_is_itself_hidden_from_render_is_seen(stage):
    source = primitive("uv_sphere", "Source", radius=0.5)
    source.hide_render = True
    scatter = subject(primitive("plane", "Scatter", size=3, rotation=(math.pi / 2, 0, 0)))
    group, entry, out, points, info = zones("GeometryNodeInstanceOnPoints", "GeometryNodeObjectInfo")
    info.inputs["Object"].default_value = source
    group.links.new(entry.outputs[0], points.inputs["Points"])
    group.links.new(info.outputs["Geometry"], points.inputs["Instance"])
    group.links.new(points.outputs[0], out.inputs[0])
    scatter.modifiers.new("Nodes", "NODES").node_group = group
    found = mask(stage)
    assert agree(found, rendered(stage, source, scatter))


@pytest.mark.parametrize("where", ["scene", "set", "set of the set"])
def test_a_background_set_hides_subjects(stage, where):
    ball = subject(primitive("uv_sphere", "Ball", radius=1))
    stage.peekaboo.occluded_by_scene = True
    home = stage
    for _ in range(["scene", "set", "set of the set"].index(where)):
        home.background_set = bpy.data.scenes.new("Set")
        home = home.background_set
    wall = add_mesh(home, WALL, [(0, 1, 2, 3)])
    wall.location.y = -3
    found = mask(stage)
    assert found.any() and not found[:, : WIDTH // 2].any()
    wall.is_holdout = True
    assert agree(found, rendered(stage, ball))


def test_a_subject_of_a_background_set_is_seen(stage):
    stage.background_set = bpy.data.scenes.new("Set")
    wall = subject(add_mesh(stage.background_set, WALL, [(0, 1, 2, 3)]))
    assert agree(mask(stage), rendered(stage, wall))


@pytest.mark.parametrize(
    ("setting", "hides"),
    [("holdout", True), ("indirect_only", False), ("exclude", False)],
)
def test_collections_are_in_a_render_as_its_view_layer_says(stage, setting, hides):
    subject(primitive("uv_sphere", "Ball", radius=1))
    whole = mask(stage)
    collection = bpy.data.collections.new("Walls")
    stage.collection.children.link(collection)
    wall = add_mesh(stage, WALL, [(0, 1, 2, 3)])
    stage.collection.objects.unlink(wall)
    collection.objects.link(wall)
    wall.location.y = -3
    setattr(bpy.context.view_layer.layer_collection.children["Walls"], setting, True)
    stage.peekaboo.occluded_by_scene = True
    found = mask(stage)
    assert np.array_equal(found[:, WIDTH // 2 :], whole[:, WIDTH // 2 :])
    assert not found[:, : WIDTH // 2].any() if hides else np.array_equal(found, whole)
    subject(wall)
    bpy.data.objects["Ball"].peekaboo.is_subject = False
    with pytest.raises(PeekabooError, match="has no subject"):
        mask(stage)


@pytest.mark.parametrize("what", ["wall", "subject"])
def test_what_the_camera_does_not_see_is_not_there(stage, what):
    ball = subject(primitive("uv_sphere", "Ball", radius=1))
    wall = add_mesh(stage, WALL, [(0, 1, 2, 3)])
    wall.location.y = -3
    stage.peekaboo.occluded_by_scene = True
    half = np.count_nonzero(mask(stage))
    (wall if what == "wall" else ball).visible_camera = False
    found = np.count_nonzero(mask(stage))
    assert found == 0 if what == "subject" else found > 1.8 * half


def test_what_is_not_keyed_and_the_users_pictures_stay(stage):
    ball = subject(primitive("uv_sphere", "Ball", radius=0.6))
    ball.keyframe_insert("location", frame=1)
    ball.location.x = 1.5
    bpy.context.view_layer.update()
    known = [len(collection) for collection in (bpy.data.scenes, bpy.data.objects, bpy.data.images)]
    layout(stage)
    assert ball.location.x == 1.5
    assert known == [len(collection) for collection in (bpy.data.scenes, bpy.data.objects, bpy.data.images)]


def test_pictures_in_the_users_render_slots_stay(stage, tmp_path):
    subject(primitive("cube", "Ball"))
    stage.render.engine, stage.cycles.samples = "CYCLES", 1
    stage.cycles.use_denoising = False  # which not each build of Blender can
    slots = []
    for number, strength in enumerate((0.1, 0.9)):
        if slots:
            bpy.data.images["Render Result"].render_slots.active_index = number
        stage.world = stage.world or bpy.data.worlds.new("World")
        stage.world.color = (strength,) * 3
        bpy.ops.render.render()
        slots.append(number)
    result = bpy.data.images["Render Result"]

    def seen(number):
        result.render_slots.active_index = number
        path = tmp_path / f"{number}.png"
        result.save_render(str(path), scene=stage)
        return path.read_bytes()

    before = [seen(number) for number in slots]
    assert before[0] != before[1]
    for number in slots:
        result.render_slots.active_index = number
        mask(stage)
        assert result.render_slots.active_index == number
        assert [seen(other) for other in slots] == before


def parts():
    """A character of four meshes."""
    return [
        primitive("cylinder", "Body", radius=0.5, depth=1.4),
        primitive("uv_sphere", "Head", radius=0.4, location=(0, 0, 1.2)),
        primitive("cube", "Left", size=0.4, location=(-0.9, 0, 0.2)),
        primitive("cube", "Right", size=0.4, location=(0.9, 0, 0.2)),
    ]


def as_children(scene, meshes):
    root = bpy.data.objects.new("Root", None)
    scene.collection.objects.link(root)
    for mesh in meshes:
        mesh.parent = root
    return [root]


def as_rig(_scene, meshes):
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    for mesh in meshes[:2]:
        mesh.modifiers.new("Armature", "ARMATURE").object = rig
    for mesh in meshes[2:]:
        mesh.parent = rig
    return [rig]


def as_selection(_scene, meshes):
    return meshes


def as_one_selection(_scene, meshes):
    for mesh in meshes:
        mesh.select_set(True)
    bpy.context.view_layer.objects.active = meshes[1]
    bpy.ops.peekaboo.make_subjects(together=True)
    assert [mesh.peekaboo.is_subject for mesh in meshes] == [False, True, False, False]
    return meshes[1:2]


def as_body(_scene, meshes):
    for mesh in meshes[1:]:
        mesh.parent = meshes[0]
    return meshes[:1]


@pytest.mark.parametrize("how", [as_children, as_rig, as_selection, as_one_selection, as_body])
def test_a_character_of_several_meshes_is_one_subject(stage, how):
    stage.peekaboo.prompt = "a tin robot on grass"
    meshes = parts()
    for obj in how(stage, meshes):
        subject(obj).peekaboo.phrase = "a tin robot"
    read = read_shot(stage)
    assert [one.phrase for one in read.subjects] == ["a tin robot"]
    found = mask(stage)
    assert agree(found, rendered(stage, *meshes))


def test_what_is_a_subject_itself_is_no_part_of_another(stage):
    meshes = parts()
    as_body(stage, meshes)
    stage.peekaboo.prompt = "a robot with a red head"
    for obj, phrase in ((meshes[0], "a robot"), (meshes[1], "a red head")):
        subject(obj).peekaboo.phrase = phrase
    found = read_layout(stage, WIDTH, HEIGHT, 1).labels[0]
    truth = render_labels(stage, dict(zip(meshes, (1, 2, 1, 1), strict=True)))
    assert np.count_nonzero(found != truth) <= 0.02 * np.count_nonzero(truth)


def test_subjects_of_one_phrase_take_turns_where_the_prompt_has_it_for_each(stage):
    stage.peekaboo.prompt = "a ball and a ball"
    for place in (-1, 1):
        subject(primitive("uv_sphere", "Ball", radius=0.5, location=(place, 0, 0))).peekaboo.phrase = "a ball"
    assert len(read_shot(stage).subjects) == 2
    stage.peekaboo.prompt = "a ball in a mirror"
    assert len(read_shot(stage).subjects) == 1


def test_an_armature_that_deforms_nothing_has_no_extent(stage):
    bpy.ops.object.armature_add()
    subject(bpy.context.object)
    with pytest.raises(PeekabooError, match='"Armature" is of type armature, which has no extent'):
        mask(stage)


def test_empties_can_be_parts_and_go_with_the_subject(stage):
    body, head = (bpy.data.objects.new(name, None) for name in ("Body", "Head"))
    for empty, place in ((body, -1), (head, 1)):
        empty.empty_display_type, empty.location.x = "SPHERE", place
        stage.collection.objects.link(empty)
    subject(body)
    alone = np.count_nonzero(mask(stage))
    head.peekaboo.part_of = body
    assert np.count_nonzero(mask(stage)) == pytest.approx(2 * alone, rel=0.05)
    subjects.unmark(body)
    subject(body)
    assert np.count_nonzero(mask(stage)) == alone


def test_a_render_with_the_engine_of_masks_says_that_it_makes_no_picture(stage):
    stage.render.engine = "PEEKABOO_STAGE"
    with pytest.raises(RuntimeError, match="choose another render engine"):
        bpy.ops.render.render()
    assert layout_of_a_ball(stage).any()


def layout_of_a_ball(scene):
    subject(primitive("uv_sphere", "Ball", radius=1))
    return mask(scene)


def test_the_first_view_layer_may_be_off(stage):
    ball = subject(primitive("uv_sphere", "Ball", radius=1))
    stage.view_layers.new("Second")
    stage.view_layers[0].use = False
    found = mask(stage)
    stage.view_layers[0].use = True
    assert agree(found, rendered(stage, ball))


def test_what_catches_shadows_hides_and_is_no_subject_of_its_own(stage):
    ball = subject(primitive("uv_sphere", "Ball", radius=1))
    wall = subject(add_mesh(stage, WALL, [(0, 1, 2, 3)]))
    wall.location.y = -3
    wall.is_shadow_catcher = stage.peekaboo.occluded_by_scene = True
    assert len(subjects.roles_of(stage)) == 2  # for EEVEE, which knows no such thing
    stage.render.engine = "CYCLES"
    found = mask(stage)
    assert len(subjects.roles_of(stage)) == 1 and not found[:, : WIDTH // 2].any()
    assert agree(found, rendered(stage, ball))
