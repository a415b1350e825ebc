# SPDX-License-Identifier: GPL-3.0-or-later
"""The first frame as the scene's own engine renders it: where masks say, in the view's colours, and nothing
of the user's is any other afterwards."""

import bpy
import numpy as np
import pytest
from held import compositor
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as hypothesis_settings
from scenes import add_camera, add_mesh

from blender_addon import compat
from blender_addon.errors import CancelledError, PeekabooError
from blender_addon.masks.still import render_in_turns, render_still
from blender_addon.shot.layout import read_layout, timing_of

SIZE = (96, 64)
CUBE = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def shining(color):
    """A material that has one colour under any light."""
    material = bpy.data.materials.new("Shining")
    material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    shader, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    shader.inputs["Color"].default_value = (*color, 1)
    material.node_tree.links.new(shader.outputs["Emission"], output.inputs["Surface"])
    return material


@pytest.fixture
def lit(scene):
    """A shining cube in front of nothing, for Cycles at its fastest."""
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BOX", 0.01
    scene.render.resolution_x, scene.render.resolution_y = 160, 90
    scene.view_settings.view_transform = "Standard"
    scene.frame_start, scene.frame_end = 1, 8
    add_camera(scene)
    cube = add_mesh(scene, CUBE, SIDES, "Cube")
    cube.data.materials.append(shining((0.5, 0.0, 0.0)))
    cube.location, cube.rotation_euler = (1.2, 0, 0.4), (0.3, 0.2, 0.5)
    cube.peekaboo.is_subject, cube.peekaboo.phrase, cube.peekaboo.outline = True, "a cube", "SURFACE"
    return scene


def pixels_of(path):
    """A PNG as Blender reads it, without a view: float (height, width, 3), row 0 at the top."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1, :, :3]


def rendered(scene, tmp_path, time=1.0, size=SIZE):
    path = tmp_path / "first_frame.png"
    render_still(scene, time, size, path)
    pixels = pixels_of(path)
    assert pixels.shape == (size[1], size[0], 3)
    return pixels


def wide(render):
    pass


def tall(render):
    render.resolution_x, render.resolution_y = 90, 160


def anamorphic(render):
    render.pixel_aspect_x = 2.0


def cropped(render):
    render.use_border = render.use_crop_to_border = True
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.3, 0.9, 0.2, 0.8


def framed(render):
    render.id_data.peekaboo.framing = 0.7


def framed_low(render):
    tall(render)
    render.id_data.peekaboo.framing = -0.3


@pytest.mark.parametrize(
    "shape", [wide, tall, anamorphic, cropped, framed, framed_low], ids=lambda shape: shape.__name__
)
def test_the_picture_is_cut_as_the_masks_are(lit, tmp_path, shape):
    shape(lit.render)
    shown = rendered(lit, tmp_path)[..., 0] > 0.5
    label = read_layout(lit, *SIZE, 1, timing=timing_of(lit, 8)).labels[0] == 1
    assert 100 < label.sum() < label.size
    assert (shown & label).sum() / (shown | label).sum() > 0.95


def sides(least, most):
    return strategies.integers(least, most)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    resolution=strategies.tuples(sides(4, 500), sides(4, 500), sides(10, 200)),
    stretched=strategies.floats(1.0, 3.0),
    border=strategies.none() | strategies.tuples(*[strategies.floats(0.0, 0.45)] * 4),
    size=strategies.tuples(sides(1, 12), sides(1, 12)),
)
def test_the_picture_has_the_size_of_the_clip_whatever_the_frame(
    lit, tmp_path, resolution, stretched, border, size
):
    render = lit.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = resolution
    render.pixel_aspect_x = stretched
    render.use_border = render.use_crop_to_border = border is not None
    if border is not None:
        left, right, bottom, top = border
        render.border_min_x, render.border_max_x = left, 1 - right
        render.border_min_y, render.border_max_y = bottom, 1 - top
    rendered(lit, tmp_path, size=(8 * size[0], 8 * size[1]))  # which looks at it


def test_colours_are_those_of_the_view(lit, tmp_path):
    as_standard = rendered(lit, tmp_path).max(axis=(0, 1))
    np.testing.assert_allclose(as_standard, (188 / 255, 0, 0), atol=2 / 255)  # 0.5 as sRGB has it
    lit.view_settings.exposure = 1.0
    assert rendered(lit, tmp_path)[..., 0].max() > 0.99


def test_a_time_between_two_frames_is_rendered(lit, tmp_path):
    cube = lit.objects["Cube"]
    for frame, x in ((1, -1.0), (3, 1.0)):
        cube.location.x = x
        cube.keyframe_insert("location", frame=frame)
    for curve in compat.fcurves(cube):
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
    middles = []
    for time in (1.0, 1.5, 2.0):
        columns = np.flatnonzero((rendered(lit, tmp_path, time)[..., 0] > 0.5).any(axis=0))
        middles.append(columns.mean())
    assert middles[1] - middles[0] > 5
    assert middles[1] - middles[0] == pytest.approx(middles[2] - middles[1], abs=1.5)


def settings_of(struct):
    """All plain properties of a part of Blender's data."""
    found = {}
    for prop in struct.bl_rna.properties:
        if prop.type in {"BOOLEAN", "INT", "FLOAT", "STRING", "ENUM"}:
            value = getattr(struct, prop.identifier)
            found[prop.identifier] = list(value) if getattr(prop, "is_array", False) else value
    return found


def everything(scene):
    """What a render could have changed, as far as it is data."""
    parts = (scene, scene.render, scene.render.image_settings, scene.view_settings, scene.cycles)
    names = {
        name: sorted(getattr(bpy.data, name).keys())
        for name in ("scenes", "images", "materials", "objects", "node_groups", "collections", "actions")
    }
    places = {obj.name: list(obj.location) for obj in scene.objects}
    return [settings_of(part) for part in parts], names, places, scene.camera, bpy.context.scene


def test_the_users_scene_is_as_it_was(lit, tmp_path):
    lit.render.filepath = str(tmp_path / "mine_")
    lit.render.image_settings.file_format = "JPEG"
    tree, output = compositor(lit)
    layers, writes = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeOutputFile")
    if hasattr(writes, "base_path"):
        writes.base_path = str(tmp_path / "written")
    else:  # since 5.0
        writes.directory = str(tmp_path / "written")
        writes.file_output_items.new("RGBA", "Image")
    for end in (writes, output):
        tree.links.new(layers.outputs[0], end.inputs[0])
    told = []
    for name in ("render_pre", "render_complete", "render_write"):
        getattr(bpy.app.handlers, name).append(lambda *_, name=name: told.append(name))
    cube = lit.objects["Cube"]
    cube.keyframe_insert("location", frame=1)
    lit.frame_set(5)
    cube.location.z = 3.0  # and not keyed
    before = everything(lit)
    shown = rendered(lit, tmp_path)
    assert everything(lit) == before
    assert told == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first_frame.png"]
    assert (shown[..., 0] > 0.5).any()  # where it is keyed to be


def test_a_compositor_leaves_no_nodes_behind(lit, tmp_path):
    tree, output = compositor(lit)
    tree.links.new(tree.nodes.new("CompositorNodeRLayers").outputs[0], output.inputs[0])
    before = sorted(tree.name for tree in bpy.data.node_groups)
    rendered(lit, tmp_path)
    assert sorted(tree.name for tree in bpy.data.node_groups) == before


def test_results_in_render_slots_stay(lit, tmp_path):
    lit.render.filepath = str(tmp_path / "mine.png")
    bpy.ops.render.render(write_still=True)
    saved = tmp_path / "again.png"
    result = next(image for image in bpy.data.images if image.type == "RENDER_RESULT")
    rendered(lit, tmp_path)
    result.save_render(str(saved))
    np.testing.assert_array_equal(pixels_of(saved), pixels_of(tmp_path / "mine.png"))


def test_clips_that_lie_in_the_sequencer_are_not_what_is_rendered(lit, tmp_path):
    editor = lit.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strips.new_effect("Blue", "COLOR", 1, 1, **length(8)).color = (0, 0, 1)
    assert rendered(lit, tmp_path)[..., 2].max() < 0.01


def length(frames):
    """How a new strip is told its length: by its end before 5.0."""
    return {"length": frames} if bpy.app.version >= (5, 0, 0) else {"frame_end": 1 + frames}


def test_a_scene_without_a_camera_is_refused(scene, tmp_path):
    with pytest.raises(PeekabooError, match="no camera"):
        render_still(scene, 1.0, SIZE, tmp_path / "first_frame.png")


def test_a_simulation_that_is_not_baked_is_refused_after_its_start(lit, tmp_path):
    lit.objects["Cube"].modifiers.new("Cloth", "CLOTH")
    with pytest.raises(PeekabooError, match="cloth simulation"):
        render_still(lit, 5.0, SIZE, tmp_path / "first_frame.png")
    rendered(lit, tmp_path)  # at its start it is as it was modelled


def test_a_render_that_is_cancelled_is_told_as_that_and_its_handler_is_gone(lit, tmp_path):
    """Blender tells its handlers; whoever pressed Escape is told no fault."""

    def cancel(*_):  # in the middle of the render, as Blender does in its end
        for handler in list(bpy.app.handlers.render_cancel):
            handler(lit)

    bpy.app.handlers.frame_change_post.append(cancel)
    try:
        with pytest.raises(CancelledError):
            list(render_in_turns(lit, 1, SIZE, tmp_path / "still.png"))
    finally:
        bpy.app.handlers.frame_change_post.remove(cancel)
    assert not bpy.app.handlers.render_cancel
    list(render_in_turns(lit, 1, SIZE, tmp_path / "still.png"))
    assert (tmp_path / "still.png").is_file()
