# SPDX-License-Identifier: GPL-3.0-or-later
"""What a render shows and masks cannot follow is refused by name, with the way out."""

import bpy
import numpy as np
import pytest
from held import HEIGHT, WIDTH, agree, mask, primitive, rendered, subject, zones
from test_projection import LENS

from blender_addon.errors import PeekabooError
from blender_addon.masks.cast import Cast, Role
from blender_addon.masks.hiders import occluders
from blender_addon.masks.projection import Exposed


def ball():
    return primitive("uv_sphere", "Ball", radius=0.8)


def hair_curves(_ball):
    curves = bpy.data.hair_curves.new("Hair")
    curves.add_curves([2])
    curves.attributes["position"].data.foreach_set("vector", np.array([0, 0, 0, 0, 0, 1], np.float32))
    obj = bpy.data.objects.new("Hair", curves)
    bpy.context.collection.objects.link(obj)
    return obj


def grease_pencil(_ball):
    add = getattr(bpy.ops.object, "grease_pencil_add" if bpy.app.version >= (4, 3, 0) else "gpencil_add")
    add(type="MONKEY")
    bpy.context.object.name = "Drawn"
    return bpy.context.object


def by_nodes(kind):
    def build(one):
        group, entry, out, made = zones(kind)
        if made.inputs.get("Mesh") is not None:
            group.links.new(entry.outputs[0], made.inputs["Mesh"])
        group.links.new(made.outputs[0], out.inputs[0])
        one.modifiers.new("Nodes", "NODES").node_group = group
        return one

    return build


def hair(one):
    settings = one.modifiers.new("Fur", "PARTICLE_SYSTEM").particle_system.settings
    settings.type, settings.count = "HAIR", 20
    return one


def displaced(one):
    material = bpy.data.materials.new("Rock")
    material.use_nodes, material.displacement_method = True, "BOTH"
    tree = material.node_tree
    bump = tree.nodes.new("ShaderNodeDisplacement")
    tree.links.new(bump.outputs[0], tree.get_output_node("ALL").inputs["Displacement"])
    one.data.materials.append(material)
    return one


def adaptive(one):
    bpy.context.scene.render.engine = "CYCLES"
    modifier = one.modifiers.new("Subdivision", "SUBSURF")
    if hasattr(modifier, "use_adaptive_subdivision"):
        modifier.use_adaptive_subdivision = True
    else:
        bpy.context.scene.cycles.feature_set = "EXPERIMENTAL"
        one.cycles.use_adaptive_subdivision = True
    return one


def smoke(one):
    modifier = one.modifiers.new("Fluid", "FLUID")
    modifier.fluid_type = "DOMAIN"
    return one


points, volume = by_nodes("GeometryNodeMeshToPoints"), by_nodes("GeometryNodeVolumeCube")
WORDS = {
    hair_curves: '"Hair" shows hair curves',
    grease_pencil: '"Drawn" shows grease pencil strokes',
    points: '"Ball" shows points',
    volume: '"Ball" shows a volume',
    hair: '"Ball" has hair that a render shows as strands',
    displaced: '"Ball" is displaced by its material "Rock"',
    adaptive: '"Ball" is subdivided adaptively',
    smoke: '"Ball" shows a volume',
}


@pytest.mark.parametrize("build", WORDS, ids=WORDS.values())
def test_a_subject_that_masks_cannot_follow_is_refused(stage, build):
    build(subject(ball())) if build not in (hair_curves, grease_pencil) else subject(build(None))
    with pytest.raises(PeekabooError, match=rf"{WORDS[build]}, which masks cannot follow: [a-z].*\.$"):
        mask(stage)


@pytest.mark.parametrize("build", [hair_curves, grease_pencil])
def test_so_is_a_part_of_a_subject(stage, build):
    build(None).parent = subject(ball())
    with pytest.raises(PeekabooError, match=f"{WORDS[build]}, which masks cannot follow"):
        mask(stage)


@pytest.mark.parametrize("build", [hair_curves, grease_pencil, points, hair, displaced, adaptive])
def test_so_is_what_hides_subjects_where_that_counts(stage, build):
    subject(primitive("cube", "Cube", location=(0, 3, 0)))
    build(ball())
    assert mask(stage).any()
    stage.peekaboo.occluded_by_scene = True
    with pytest.raises(PeekabooError, match=f"{WORDS[build]}.*, or turn off Occluded by Scene"):
        mask(stage)


@pytest.mark.parametrize("build", [volume, smoke])
def test_a_volume_hides_nothing(stage, build):
    cube = subject(primitive("cube", "Cube", location=(0, 3, 0)))
    alone = mask(stage)
    build(ball())
    stage.peekaboo.occluded_by_scene = True
    assert np.array_equal(mask(stage), alone) and cube


@pytest.mark.parametrize("outline", ["SURFACE", "HULL"])
def test_hair_is_refused_where_a_render_shows_nothing_else(stage, outline):
    subject(hair(ball()), outline).show_instancer_for_render = False
    with pytest.raises(PeekabooError, match=r"has hair .*: turn its particle system off for renders\.$"):
        mask(stage)


def test_so_is_such_hair_that_hides_subjects(stage):
    subject(primitive("cube", "Cube", location=(0, 3, 0)))
    hair(displaced(ball())).show_instancer_for_render = False
    stage.peekaboo.occluded_by_scene = True
    with pytest.raises(PeekabooError, match="has hair"):
        mask(stage)


def test_an_emitter_that_a_render_does_not_show_hides_nothing(stage):
    subject(primitive("cube", "Cube", location=(0, 3, 0)))
    alone = mask(stage)
    one = displaced(hair(ball()))
    one.show_instancer_for_render = False
    one.particle_systems[0].settings.render_type = "NONE"
    stage.peekaboo.occluded_by_scene = True
    assert np.array_equal(mask(stage), alone)


def test_the_hull_of_a_hairy_subject_is_that_of_its_mesh(stage):
    bald = mask(stage, 1) if subject(ball(), "HULL") else None
    hair(bpy.data.objects["Ball"])
    assert np.array_equal(mask(stage), bald)


def no_curves(_ball):
    obj = bpy.data.objects.new("Hair", bpy.data.hair_curves.new("Hair"))
    bpy.context.collection.objects.link(obj)


def no_strokes(one):
    for layer in grease_pencil(one).data.layers:
        layer.hide = True


def displaced_where_no_face_is(one):
    one.data.materials.append(bpy.data.materials.new("Plain"))
    displaced(one)


def displaced_for_another_engine(one):
    displaced(one)
    bpy.data.materials["Rock"].node_tree.get_output_node("ALL").target = "CYCLES"
    assert bpy.context.scene.render.engine != "CYCLES"


def displaced_in_the_workbench(one):
    displaced(one)
    bpy.context.scene.render.engine = "BLENDER_WORKBENCH"


def hidden_smoke(one):
    smoke(one).hide_render = True


@pytest.mark.parametrize(
    "build",
    [
        *(no_curves, no_strokes, displaced_where_no_face_is, displaced_for_another_engine),
        *(displaced_in_the_workbench, hidden_smoke),
    ],
)
def test_what_a_render_does_not_show_is_not_refused(stage, build):
    cube = subject(primitive("cube", "Cube", location=(0, 3, 0)))
    one = ball()
    one.parent = cube
    build(one)
    stage.peekaboo.occluded_by_scene = True
    assert mask(stage).any()


def test_the_output_of_a_material_is_that_of_the_engine(stage):
    displaced(subject(ball()))
    bpy.data.materials["Rock"].node_tree.get_output_node("ALL").target = "CYCLES"
    stage.render.engine = "CYCLES"
    with pytest.raises(PeekabooError, match="is displaced"):
        mask(stage)


def test_the_camera_view_draws_no_domain_of_smoke_as_a_wall(stage):
    cube = subject(primitive("cube", "Cube", location=(0, 3, 0)))
    smoke(ball()).location.y = -2
    stage.peekaboo.occluded_by_scene = True
    depsgraph = bpy.context.evaluated_depsgraph_get()
    exposed = Exposed(LENS, WIDTH, HEIGHT, everywhere=True)
    assert not list(occluders(depsgraph, Cast(stage, [Role((cube,))]), exposed))


def test_what_is_off_for_renders_is_in_nobodys_way(stage):
    one = adaptive(hair(subject(ball())))
    for modifier in one.modifiers:
        modifier.show_render = False
    found = mask(stage)
    assert agree(found, rendered(stage, one))
