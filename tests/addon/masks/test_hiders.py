# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot hide a subject is neither drawn nor refused, and nothing else is left out."""

import random

import bpy
import numpy as np
import pytest
from held import HEIGHT, WIDTH, agree, layout, mask, primitive, rendered, subject, zones
from hypothesis import given, settings
from hypothesis import strategies as st
from mathutils import Matrix
from random_scenes import add_hiders, add_random_camera, new_scene, scatter
from test_projection import LENS, ROWS, placements
from test_unfollowed import adaptive, displaced, grease_pencil, hair, hair_curves, points

from blender_addon.errors import PeekabooError
from blender_addon.masks import cameras, hiders, outlines, projection, sampling, solids
from blender_addon.masks.cast import Cast, Role
from blender_addon.masks.stage import on_stage

FLAT = projection.orthographic_camera(np.eye(4), ROWS / 8, 0.5, 9)
"""Looks along -Z too, and sees 8 wide and high."""


class Everything:
    """Exposed to whatever there is, seen or not."""

    def may_be_hidden_by(self, boxes):
        return np.ones(len(boxes), bool)


@given(
    st.sampled_from([LENS, FLAT]),
    st.lists(placements(), min_size=1, max_size=3),
    st.lists(placements(), min_size=1, max_size=6),
)
def test_what_is_told_to_hide_nothing_hides_nothing(lens, subjects, others):
    shapes = [[solids.ellipsoid(matrix)] for matrix in subjects]
    bodies = [solids.box(matrix) for matrix in others]
    for everywhere in (False, True):
        found, exposed = (
            projection.labelled(lens, shapes, 48, 32),
            projection.Exposed(lens, 48, 32, everywhere),
        )
        exposed.add(found)
        may_hide = exposed.may_be_hidden_by(np.stack([body.bounds for body in bodies]))
        projection.hide(found, lens, [body for body, may in zip(bodies, may_hide, strict=True) if may])
        whole = projection.labelled(lens, shapes, 48, 32, bodies)
        assert np.array_equal(found.labels, whole.labels)
        assert np.array_equal(found.nearest, whole.nearest) or not everywhere


def test_what_is_beside_behind_or_out_of_view_is_told_to_hide_nothing():
    exposed = projection.Exposed(LENS, 48, 32)
    exposed.add(projection.labelled(LENS, [[solids.box(placed(0, 0, -10))]], 48, 32))
    places = {(0, 0, -5): True, (3.5, 0, -10): False, (0, 0, -14): False, (0, 0, 5): False, (0, 0, 0): True}
    boxes = np.stack([solids.box(placed(*place)).bounds for place in places])
    assert exposed.may_be_hidden_by(boxes).tolist() == list(places.values())
    assert not projection.Exposed(LENS, 48, 32).may_be_hidden_by(boxes).any()
    assert projection.Exposed(LENS, 48, 32, True).may_be_hidden_by(boxes).tolist() == [1, 1, 1, 0, 1]


def placed(*place):
    matrix = np.eye(4)
    matrix[:3, 3] = place
    return matrix


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_no_hider_is_missed(seed):
    choose, scene = random.Random(seed), new_scene(WIDTH, HEIGHT)
    scene.frame_end = 20
    camera = add_random_camera(scene, choose)
    scene.timeline_markers.clear()
    balls = [primitive("uv_sphere", f"Ball {k}") for k in range(2)]
    for ball in balls:
        scatter(choose, ball)
    add_hiders(scene, choose)
    cast = Cast(scene, [Role((ball,)) for ball in balls])
    aspect = WIDTH / HEIGHT

    def compare(depsgraph):
        view = cameras.view(camera.evaluated_get(depsgraph), depsgraph, scene.render, aspect)
        shapes = outlines.shapes_at(cast, depsgraph)
        whole = projection.labelled(view, shapes, WIDTH, HEIGHT)
        projection.hide(whole, view, hiders.occluders(depsgraph, cast, Everything()))
        for everywhere in (False, True):
            found = projection.labelled(view, shapes, WIDTH, HEIGHT)
            hiders.hide(found, view, depsgraph, cast, everywhere)
            assert np.array_equal(found.labels, whole.labels)
            assert np.array_equal(found.nearest, whole.nearest) or not everywhere

    def at_times(stage):
        for time in (1, 7.25, 20):
            stage.go_to(time)
            compare(stage.depsgraph)

    on_stage(scene, [*scene.objects], camera, at_times)
    scene.frame_set(20)
    compare(bpy.context.evaluated_depsgraph_get())


def test_a_hider_that_a_script_has_moved_by_its_positions_is_not_missed(stage, cube):
    wall = primitive("cube", "Wall", location=(0, -3, 0), scale=(1, 0.1, 1))
    positions = wall.data.attributes["position"].data
    places = np.empty(3 * len(positions), np.float32)
    positions.foreach_get("vector", places)
    assert not mask(stage)[HEIGHT // 2, WIDTH // 2]
    for offset, seen in ((50, True), (-50, False)):
        places[::3] += offset  # which Blender's own bounding box does not tell
        positions.foreach_set("vector", places)
        wall.data.update()
        assert mask(stage)[HEIGHT // 2, WIDTH // 2] == seen


@pytest.mark.parametrize("cuts", [2, 60], ids=["few vertices", "many"])
def test_a_hider_with_a_vertex_that_is_not_a_number_is_not_missed(stage, cube, cuts):
    assert mask(stage)[HEIGHT // 2, WIDTH // 2]
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=cuts, y_subdivisions=cuts, location=(40, -3, 0))
    wall = bpy.context.object
    wall.rotation_euler.x = np.pi / 2
    wall.data.transform(Matrix.Translation((-40, 0, 0)))
    wall.data.vertices[0].co = [np.nan] * 3  # of a corner
    assert not mask(stage)[HEIGHT // 2, WIDTH // 2]


KINDS = [hair_curves, points, hair, displaced, adaptive]


@pytest.fixture
def cube(stage):
    stage.peekaboo.occluded_by_scene = True
    return subject(primitive("cube", "Cube"))


@pytest.mark.parametrize("build", KINDS)
@pytest.mark.parametrize("place", [(0, 60, 0), (40, 0, 0), (0, -40, 0)], ids=["behind", "beside", "back"])
def test_what_masks_cannot_follow_is_not_refused_where_it_hides_nothing(stage, cube, build, place):
    alone = mask(stage)
    one = build(primitive("uv_sphere", "Ball"))
    bpy.data.objects["Ball"].location = one.location = place
    assert np.array_equal(mask(stage), alone) and alone.any()


@pytest.mark.parametrize("build", KINDS)
def test_it_is_refused_at_the_frames_at_which_it_may(stage, cube, build):
    one = build(primitive("uv_sphere", "Ball"))
    for obj in {one, bpy.data.objects["Ball"]}:
        for frame, depth in ((1, 60), (12, -3)):
            obj.location.y = depth
            obj.keyframe_insert("location", frame=frame)
    assert mask(stage, 1).any()
    with pytest.raises(PeekabooError, match="which masks cannot follow"):
        layout(stage)


def test_hair_is_looked_for_as_far_as_it_may_reach(stage, cube):
    one = hair(primitive("uv_sphere", "Ball", location=(6, -2, 0), radius=0.5))
    one.particle_systems[0].settings.hair_length = 0.2
    assert mask(stage).any()
    one.particle_systems[0].settings.hair_length = 5
    with pytest.raises(PeekabooError, match="has hair"):
        mask(stage)


@pytest.mark.parametrize("node", ["GeometryNodeDeleteGeometry", "GeometryNodeTransform"])
def test_hair_is_looked_for_where_it_grew_before_nodes_took_its_surface_away(stage, cube, node):
    one = hair(primitive("uv_sphere", "Ball", location=(0, -3, 0)))
    group, entry, out, last = zones(node)
    if node == "GeometryNodeTransform":
        last.inputs["Translation"].default_value = (0, 60, 0)
    group.links.new(entry.outputs[0], last.inputs[0])
    group.links.new(last.outputs[0], out.inputs[0])
    one.modifiers.new("Nodes", "NODES").node_group = group
    with pytest.raises(PeekabooError, match="has hair"):
        mask(stage)


def test_many_hiders_are_looked_at_in_batches(stage, cube, monkeypatch):
    monkeypatch.setattr(hiders, "BATCH", 2)
    for depth in (60, 50, 40, 30, -3):
        assert mask(stage)[HEIGHT // 2, WIDTH // 2]
        primitive("cube", "Wall", location=(0, depth, 0), scale=(1, 0.1, 1))
    assert not mask(stage)[HEIGHT // 2, WIDTH // 2]


def test_strokes_are_refused_wherever_they_are(stage, cube):
    grease_pencil(None).location.y = 60
    with pytest.raises(PeekabooError, match="strokes"):
        mask(stage)


@pytest.mark.skipif(bpy.app.version < (4, 3, 0), reason="Strokes have no nodes there")
def test_so_are_strokes_with_a_mesh_that_nodes_make_of_them(stage, cube):
    one = grease_pencil(None)
    one.location.y = 60
    group, entry, out, box, join = zones("GeometryNodeMeshCube", "GeometryNodeJoinGeometry")
    for made in (entry, box):
        group.links.new(made.outputs[0], join.inputs[0])
    group.links.new(join.outputs[0], out.inputs[0])
    one.modifiers.new("Nodes", "NODES").node_group = group
    with pytest.raises(PeekabooError, match="strokes"):
        mask(stage)


def instance_a_text(stage, emitter, is_linked):
    """Let particles instance a text that is far away, or not in the scene itself."""
    bpy.ops.object.text_add(location=(0, 60, 0), rotation=(np.pi / 2, 0, 0))
    text = bpy.context.object
    text.data.body, text.data.size, text.data.offset_x = "M", 4, -2
    if not is_linked:
        stage.collection.objects.unlink(text)
    settings = emitter.modifiers.new("Particles", "PARTICLE_SYSTEM").particle_system.settings
    settings.type, settings.count, settings.render_type = "HAIR", 20, "OBJECT"
    settings.instance_object, settings.particle_size, settings.use_scale_instance = text, 1, False


@pytest.mark.parametrize("is_linked", [True, False])
def test_a_text_that_particles_instance_hides_what_it_hides_in_a_render(stage, cube, is_linked):
    wall = primitive("grid", "Wall", location=(0, -3, 0))
    instance_a_text(stage, wall, is_linked)
    wall.show_instancer_for_render = False
    assert agree(mask(stage), rendered(stage, cube))


def test_it_is_a_part_of_its_subject_where_a_render_shows_it(stage, cube):
    instance_a_text(stage, cube, True)
    assert agree(mask(stage), rendered(stage, cube))


def test_a_picture_with_smooth_edges_is_hidden_by_what_only_a_moved_view_shows_before_it(stage, cube):
    cube.scale = (0.004, 0.004, 1)  # thinner than a pixel, between the centres of two
    cube.location.x = 0.028
    primitive("cube", "Wall", location=(0, -3, 0), scale=(1, 0.1, 0.5))

    def smooth(sampler):
        return sampler.picture(1, WIDTH, HEIGHT, WIDTH / HEIGHT, smooth=True, deep=False).samples

    samples = sampling.sample(stage, [Role((cube,))], [1], smooth)
    rows = np.flatnonzero(samples.any(axis=(0, 2)))
    assert len(rows) and not set(rows) & set(range(HEIGHT // 2 - 3, HEIGHT // 2 + 3))
