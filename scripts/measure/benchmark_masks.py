# SPDX-License-Identifier: GPL-3.0-or-later
"""Time how long masks take, against Blender's own playback of the same scene.

    python scripts/measure/benchmark_masks.py --out docs/reference/mask_benchmark.json  (needs the bpy module)

250 frames at 576 x 320 with 10 moving subjects, in an otherwise empty scene, in one with heavy modifiers, and
with flags of cloth that is not baked as subjects. The bare loop only calls ``frame_set`` on each frame, which
is the least that playing the scene costs. Processor time is of use where the machine has other work too.
"""

import argparse
import json
import math
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from house import inside_blender

from blender_addon.shot.layout import read_layout

FRAMES, SUBJECTS, WIDTH, HEIGHT = 250, 10, 576, 320
KINDS = ("CUBE", "SPHERE")
HEAVY_MESHES, HEAVY_LEVELS = 2, 3
FLAGS, THREADS = 2, 20
"""Of cloth, and how many squares each has along an edge."""
SCENES = ("empty", "heavy", "simulated")
REPEATS = 3
QUICK_FRAMES = 10


def build(kind: str) -> Any:
    """Make a scene with a moving camera, and subjects that circle before it or are simulated; returns it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene: Any = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.frame_start, scene.frame_end = 1, FRAMES
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.rotation_euler.x = math.pi / 2
    scene.collection.objects.link(camera)
    scene.camera = camera
    _move(camera, [(-1, -14, 0), (1, -12, 0)])
    for k in range(FLAGS if kind == "simulated" else 0):
        _add_flag(k)
    for k in range(0 if kind == "simulated" else SUBJECTS):
        subject: Any = bpy.data.objects.new(f"Subject {k}", None)
        subject.empty_display_type = KINDS[k % len(KINDS)]
        subject.peekaboo.is_subject, subject.peekaboo.phrase = True, f"thing {k}"
        scene.collection.objects.link(subject)
        turn = k * math.tau / SUBJECTS
        _move(
            subject, [(4 * math.cos(turn + i), 3 * math.sin(turn + i), 2 * math.sin(turn)) for i in range(4)]
        )
    for k in range(HEAVY_MESHES if kind == "heavy" else 0):
        _add_waves(k)
    return scene


def _add_flag(index: int) -> None:
    bpy.ops.mesh.primitive_grid_add(
        x_subdivisions=THREADS, y_subdivisions=THREADS, location=(3 * index - 1.5, 0, 0), rotation=(1.5, 0, 0)
    )
    flag: Any = bpy.context.object
    pin = flag.vertex_groups.new(name="Pin")
    pin.add([vertex.index for vertex in flag.data.vertices if vertex.co.y > 0.99], 1, "REPLACE")
    cloth = flag.modifiers.new("Cloth", "CLOTH")
    cloth.settings.vertex_group_mass = "Pin"
    cloth.point_cache.frame_end = FRAMES
    flag.peekaboo.is_subject, flag.peekaboo.phrase, flag.peekaboo.outline = True, f"flag {index}", "SURFACE"


def _move(obj, places: list) -> None:
    for i, place in enumerate(places):
        obj.location = place
        obj.keyframe_insert("location", frame=1 + i * (FRAMES - 1) // (len(places) - 1))


def _add_waves(index: int) -> None:
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=40, y_subdivisions=40, location=(0, 20 + index, 0))
    waves: Any = bpy.context.object
    waves.modifiers.new("Subdivide", "SUBSURF").levels = HEAVY_LEVELS
    waves.modifiers.new("Wave", "WAVE")  # comes last, since a last subdivision is put off until it is drawn


def timed(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Seconds of the wall and of the processor that work takes: the least, which is disturbed the least."""
    seconds, processor = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - wall)
        processor.append(time.process_time() - cpu)
    return min(seconds), min(processor)


def measure(kind: str, frames: int) -> dict[str, float]:
    """Time the bare loop and the masks of one scene, for so many frames."""
    scene = build(kind)
    scene.frame_end = frames
    subjects = sum(obj.peekaboo.is_subject for obj in scene.objects)

    def play() -> None:
        for frame in range(1, frames + 1):
            scene.frame_set(frame)

    first, _ = timed(play, 1)  # simulates, where that has to be
    bare, bare_processor = timed(play, 1 if kind == "heavy" else REPEATS)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    layout = read_layout(scene, WIDTH, HEIGHT, frames)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024 - layout.labels.nbytes
    masks, processor = timed(lambda: read_layout(scene, WIDTH, HEIGHT, frames), REPEATS)
    per_subject = 1000 / frames / subjects
    return {
        "subjects": subjects,
        "first_loop_seconds": round(first, 3),
        "bare_loop_seconds": round(bare, 3),
        "masks_seconds": round(masks, 3),
        "masks_over_bare_loop": round(masks / bare, 3),
        "processor_over_bare_loop": round(processor / bare_processor, 3),
        "milliseconds_per_frame_and_subject": round(per_subject * masks, 3),
        "processor_milliseconds_per_frame_and_subject": round(per_subject * processor, 3),
        "megabytes_beyond_the_result": round(max(0, grown) / 2**20, 1),
    }


def main(arguments: list[str]) -> None:
    """Measure the scenes and write what came out."""
    parser = argparse.ArgumentParser(prog="benchmark_masks.py", description="Time how long masks take.")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quick", action="store_true", help="few frames: to see that it runs")
    options = parser.parse_args(arguments)
    out, frames = options.out, QUICK_FRAMES if options.quick else FRAMES
    report = {
        "blender": bpy.app.version_string,
        "processor": platform.processor() or platform.machine(),
        "frames": frames,
        "size": [WIDTH, HEIGHT],
        **{f"{kind} scene": measure(kind, frames) for kind in SCENES},
    }
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    inside_blender.run_script(main)
