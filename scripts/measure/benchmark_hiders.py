# SPDX-License-Identifier: GPL-3.0-or-later
"""Time what *Occluded by Scene* costs in a scene of many objects with one small subject.

    python scripts/measure/benchmark_hiders.py --out docs/reference/mask_hiders.json  (needs the bpy module)

The objects are monkeys with a mesh each, or instances of one, before a camera that is as wide as they are
many: beside the subject, behind it, all over the picture at all depths, or behind the camera. Timed are the
masks of a frame once the scene is on its stage, getting it there, and the outlines that the camera view draws
after an edit; the least of several times, and in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from house import inside_blender

from blender_addon.interface import overlay
from blender_addon.masks import sampling
from blender_addon.shot import subjects

OBJECTS, FRAMES, WIDTH, HEIGHT = 1000, 10, 576, 320
REACH = 12.0
"""Half the width of what the camera sees where the subject is."""
PLACES: dict[str, Callable[[random.Random], tuple[float, float, float]]] = {
    "beside it": lambda choose: (choose.choice((-1, 1)) * choose.uniform(3, 11), choose.uniform(-8, 8), 0),
    "behind it": lambda choose: (choose.uniform(-11, 11), choose.uniform(4, 30), choose.uniform(-5, 5)),
    "all over": lambda choose: (choose.uniform(-11, 11), choose.uniform(-8, 30), choose.uniform(-5, 5)),
    "behind the camera": lambda choose: (choose.uniform(-11, 11), choose.uniform(-60, -35), 0),
}
"""Where objects are, by the name of their scene; the camera is 24 units before the subject, along -Y."""
QUICK_OBJECTS = 20


def build(place: str, objects: int, instances: bool) -> Any:
    """Make a scene with a subject that moves, and as many other objects as are wanted; returns it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    choose, scene = random.Random(place), bpy.context.scene
    assert scene is not None
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.frame_start, scene.frame_end = 1, FRAMES
    camera: Any = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location, camera.rotation_euler.x = (0, -24, 0), 1.5707963
    camera.data.sensor_width, camera.data.lens = 2 * REACH, 24
    scene.collection.objects.link(camera)
    scene.camera = camera
    subject: Any = bpy.data.objects.new("Subject", None)
    subject.empty_display_type, subject.peekaboo.is_subject, subject.peekaboo.phrase = "SPHERE", True, "ball"
    scene.collection.objects.link(subject)
    for frame in (1, FRAMES):
        subject.location.x = (frame - FRAMES / 2) / FRAMES
        subject.keyframe_insert("location", frame=frame)
    bpy.ops.mesh.primitive_monkey_add(size=0.6)
    first: Any = bpy.context.object
    for k in range(objects):
        one = first if k == 0 else first.copy()
        if k and not instances:
            one.data = first.data.copy()
        one.location = PLACES[place](choose)
        if k:
            scene.collection.objects.link(one)
    return scene


def least(work: Callable[[], object], repeats: int) -> float:
    """Milliseconds that work takes, the least of several times."""
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return round(1000 * min(found), 1)


def measure(place: str, objects: int, instances: bool, repeats: int) -> dict[str, float]:
    """Time the masks and outlines of one scene."""
    scene = build(place, objects, instances)
    scene.peekaboo.occluded_by_scene = True
    roles, times = subjects.roles_of(scene), list(range(1, FRAMES + 1))
    frames: list[float] = []

    def work(sampler: sampling.Sampler) -> None:
        for frame in times:
            begun = time.perf_counter()
            sampler.label_map(frame, WIDTH, HEIGHT)
            frames.append(time.perf_counter() - begun)

    sampling.sample(scene, roles, times, work)
    staged = least(lambda: sampling.sample(scene, roles, times, lambda _: None), repeats)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    drawn = least(
        lambda: overlay.outlines(scene, bpy.context.view_layer, depsgraph, (WIDTH, HEIGHT)), repeats
    )
    return {"frame": round(1000 * min(frames), 1), "stage": staged, "outlines": drawn}


def main(arguments: list[str]) -> None:
    """Measure the scenes and write what came out."""
    parser = argparse.ArgumentParser(prog="benchmark_hiders.py", description="Time what hides subjects.")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="few objects: to see that it runs")
    options = parser.parse_args(arguments)
    objects, repeats = (QUICK_OBJECTS, 1) if options.quick else (OBJECTS, 3)
    report = {
        "blender": bpy.app.version_string,
        "processor": platform.processor() or platform.machine(),
        "objects": objects,
        "size": [WIDTH, HEIGHT],
        "milliseconds": {
            f"{objects} {kind} {place}": measure(place, objects, kind == "instances", repeats)
            for kind in ("meshes", "instances")
            for place in PLACES
        },
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    inside_blender.run_script(main)
