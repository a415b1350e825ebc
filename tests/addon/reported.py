# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes after public reports, each against Cycles, and what is said of those that are refused.

    python tests/addon/reported.py --out docs/reference/mask_reports.json

Frames are played in order, as a render of the animation does. What is asserted of each of these kinds is in
tests/addon/masks.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "scripts"))

import rendered_scenes
from held import primitive, subject, zones
from house import inside_blender
from random_scenes import new_scene
from scenes import add_camera
from truth import render_labels, render_seen

from blender_addon.errors import PeekabooError
from blender_addon.shot.layout import read_layout

WIDTH, HEIGHT = 288, 160
FRAMES = 12

CASES: dict[str, Callable] = {}
"""What a row is called, and what makes its scene."""


def case(title: str):
    """Add a function that gets a scene of 12 frames with a camera, and marks what is in it.

    It returns labels where not all that a render shows is a subject's; see :func:`truth.render_labels`.
    """

    def add(build):
        CASES[title] = build
        return build

    return add


def drawn_by_chance(kind: str, *, baked: bool = True, anew: bool = False):
    """A subject of one of the kinds of the random scenes."""

    def build(scene):
        marked, _ = rendered_scenes.add_subject(scene, random.Random(7), kind)
        for obj in marked:
            subject(obj).keyframe_insert("location", frame=1)
            obj.location.x += 0.5
            obj.keyframe_insert("location", frame=FRAMES)
        if anew:
            scene = rendered_scenes.opened_anew()
        if baked:
            rendered_scenes.bake(scene)

    return build


case("library override of a rigged character, opened anew")(drawn_by_chance("OVERRIDE", anew=True))
case("character of several meshes")(drawn_by_chance("CHARACTER"))
case("two objects of one phrase")(drawn_by_chance("PAIR"))
case("metaballs of one name")(drawn_by_chance("METABALLS"))
case("nodes that show a cube in the viewport and a ball in a render")(drawn_by_chance("NODES"))
case("instances that nodes make in a render alone")(drawn_by_chance("ON_POINTS"))
case("modifier that the viewport leaves out")(drawn_by_chance("ARRAY"))
case("child instanced on vertices")(drawn_by_chance("ON_VERTICES"))
case("child instanced on faces")(drawn_by_chance("ON_FACES"))
case("cloth under a subdivision, baked")(drawn_by_chance("CLOTH"))
case("cloth under a subdivision, not baked")(drawn_by_chance("CLOTH", baked=False))
case("soft body, not baked")(drawn_by_chance("SOFT_BODY", baked=False))
case("particles, not baked")(drawn_by_chance("PARTICLES", baked=False))
case("rigid body, baked")(drawn_by_chance("RIGID_BODY"))
case("rigid body, not baked")(drawn_by_chance("RIGID_BODY", baked=False))


def ball(**how):
    return subject(primitive("uv_sphere", "Ball", radius=0.8, **how))


@case("rigid body that is animated")
def _(_scene):
    obj = ball(location=(-2, 0, 0))
    bpy.ops.rigidbody.object_add()
    obj.rigid_body.kinematic = True
    obj.keyframe_insert("location", frame=1)
    obj.location.x = 2
    obj.keyframe_insert("location", frame=FRAMES)


@case("simulation zone of geometry nodes")
def _(_scene):
    obj = ball(location=(-2, 0, 0))
    group, entry, out, begin, end, move = zones(
        "GeometryNodeSimulationInput", "GeometryNodeSimulationOutput", "GeometryNodeTransform"
    )
    begin.pair_with_output(end)
    move.inputs["Translation"].default_value = (0.3, 0, 0)
    group.links.new(entry.outputs[0], begin.inputs["Geometry"])
    group.links.new(begin.outputs["Geometry"], move.inputs["Geometry"])
    group.links.new(move.outputs[0], end.inputs["Geometry"])
    group.links.new(end.outputs["Geometry"], out.inputs[0])
    obj.modifiers.new("Nodes", "NODES").node_group = group


@case("8 frames that begin with a camera cut, another one amid them")
def _(scene):
    ball()
    scene.frame_start, scene.frame_end = 101, 108
    for frame, x, back in ((1, 0, 60), (101, 2.5, 10), (105, -2.5, 10)):
        camera = add_camera(scene, location=(x, -back, 0))
        scene.timeline_markers.new("Cut", frame=frame).camera = camera


def shown_from(scene, frame: int, last: int):
    obj = ball()
    for hidden, at in ((True, 1), (False, frame)):
        obj.hide_render = hidden
        obj.keyframe_insert("hide_render", frame=at)
    scene.frame_start, scene.frame_end = frame, last


@case("visibility that is keyed on, a range of 1 frame")
def _(scene):
    shown_from(scene, 10, 10)


@case("visibility that is keyed on, a range of 4 frames")
def _(scene):
    shown_from(scene, 10, 13)


def wall_before(scene, where: str):
    obj = ball()
    scene.peekaboo.occluded_by_scene = True
    wall = rendered_scenes.add_wall(scene, random.Random(0), where)
    wall.location = (0, -3, 0)
    return {obj: 1, wall: 0}


@case("wall in a background set that hides half")
def _(scene):
    return wall_before(scene, "SET")


@case("held-out wall that hides half")
def _(scene):
    return wall_before(scene, "HOLDOUT")


@case("wall in a held-out collection that hides half")
def _(scene):
    return wall_before(scene, "HELD_OUT_COLLECTION")


@case("drivers that read the scene: a property, the context, the frame")
def _(scene):
    for z, kind in ((1.5, "SINGLE_PROP"), (0, "CONTEXT_PROP"), (-1.5, "")):
        obj = ball(location=(0, 0, z))
        obj.scale = (0.5, 0.5, 0.5)
        driver = obj.driver_add("location", 0).driver
        driver.expression = "(f if f else frame) / 6 - 1" if not kind else "f / 6 - 1"
        variable = driver.variables.new()
        variable.name = "f"
        variable.type = kind or "SINGLE_PROP"
        target = variable.targets[0]
        if variable.type == "SINGLE_PROP":
            target.id_type, target.id = "SCENE", scene
        else:
            target.context_property = "ACTIVE_SCENE"
        target.data_path = "frame_current"


@case("handler of frame_change that moves the subject")
def _(_scene):
    name = ball().name

    def move(scene, _depsgraph=None):
        bpy.data.objects[name].location.x = scene.frame_current / 6 - 1

    bpy.app.handlers.frame_change_pre.append(move)


@case("panoramic camera")
def _(scene):
    ball()
    scene.camera.data.type = "PANO"


@case("camera that is scaled to nothing")
def _(scene):
    ball()
    scene.camera.scale = (0, 0, 0)


@case("child instanced on vertices that a keyframe hides")
def _(scene):
    (frame,), (_, child) = rendered_scenes.add_subject(scene, random.Random(7), "ON_VERTICES")
    subject(frame)
    for hidden, at in ((False, 1), (True, 4)):
        child.hide_render = hidden
        child.keyframe_insert("hide_render", frame=at)


@case("driver that calls Python, where scripts are not allowed")
def _(_scene):
    ball().driver_add("location", 0).driver.expression = "bpy.context.scene.frame_current / 9"
    rendered_scenes.opened_anew()


@case("mesh that its library does not have")
def _(scene):
    library = Path(bpy.app.tempdir) / "hero.blend"
    bpy.data.libraries.write(str(library), {bpy.data.meshes.new("Body")}, fake_user=True)
    bpy.data.meshes.remove(bpy.data.meshes["Body"])
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.meshes = ["Body"]
    scene.collection.objects.link(subject(bpy.data.objects.new("Hero", bpy.data.meshes["Body"])))
    bpy.data.libraries.write(str(library), {bpy.data.scenes.new("Nothing")})
    rendered_scenes.opened_anew()


@case("hair curves")
def _(scene):
    curves = bpy.data.hair_curves.new("Fur")
    curves.add_curves([2])
    scene.collection.objects.link(subject(bpy.data.objects.new("Fur", curves)))


@case("material with displacement")
def _(_scene):
    rock, stone = ball(), bpy.data.materials.new("Stone")
    rock.name = "Rock"
    rock.data.materials.append(stone)
    stone.use_nodes, stone.displacement_method = True, "BOTH"
    tree = stone.node_tree
    bump = tree.nodes.new("ShaderNodeDisplacement")
    tree.links.new(bump.outputs[0], tree.get_output_node("ALL").inputs["Displacement"])


@case("subject without extent")
def _(scene):
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    scene.collection.objects.link(lamp)
    subject(lamp)


def measure(title: str) -> dict:
    """Intersection over union of the worst of several frames, or the sentence that refuses the scene."""
    scene = new_scene(WIDTH, HEIGHT)
    scene.frame_start, scene.frame_end = 1, FRAMES
    add_camera(scene)
    handlers = bpy.app.handlers.frame_change_pre
    known = list(handlers)
    try:
        labels = CASES[title](scene)
        return {"scene": title, **_compared(bpy.context.scene, labels)}
    except PeekabooError as error:
        return {"scene": title, "says": str(error).replace(bpy.app.tempdir, "/shots/")}
    finally:
        handlers[:] = known


def _compared(scene, labels: dict | None) -> dict:
    layout = read_layout(scene, WIDTH, HEIGHT, FRAMES)
    worst, shown = 1.0, scene.frame_start - 1
    for index, time in enumerate(layout.timing.scene_frames):
        while shown < math.floor(time):
            shown += 1
            scene.frame_set(shown)
        if index % 4 == 3 or index == 0:
            scene.frame_set(math.floor(time), subframe=time % 1)
            seen = render_labels(scene, labels) > 0 if labels else render_seen(scene)
            mask = layout.labels[index] > 0
            both, any_ = np.count_nonzero(seen & mask), np.count_nonzero(seen | mask)
            worst = min(worst, both / any_ if any_ else 1.0)
    return {"intersection_over_union": round(worst, 4), "pixels": int(np.count_nonzero(layout.labels))}


def main(arguments: list[str]) -> None:
    """Measure all cases and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    rows = [measure(title) for title in CASES]
    report = {"blender": bpy.app.version_string, "rows": rows}
    options.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in rows:
        print(f"| {row['scene']} | {row.get('says') or format(row['intersection_over_union'], '.3f')} |")


if __name__ == "__main__":
    inside_blender.run_script(main)
