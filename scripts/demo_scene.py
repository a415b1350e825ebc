# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the demo's scene and save it.

    blender -b --factory-startup -P scripts/demo_scene.py -- shot.blend
    python scripts/demo_scene.py shot.blend

The second form needs the bpy module.
"""

import math
import sys
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from house import demo_shot, inside_blender

from blender_addon.saving import save_blend


def add_subject(scene: Any, subject: demo_shot.DemoSubject) -> None:
    """Add one empty with its keyframes and its phrase."""
    empty: Any = bpy.data.objects.new(subject.name, None)
    empty.empty_display_type = subject.display_type
    empty.empty_display_size = subject.display_size
    empty.peekaboo.is_subject = True
    empty.peekaboo.phrase = subject.phrase
    empty.peekaboo.color = subject.color
    scene.collection.objects.link(empty)
    animate(empty, subject.path)


def add_camera(scene: Any) -> None:
    """Add the moving camera and make it the scene's."""
    lens = bpy.data.cameras.new("Camera")
    lens.lens = demo_shot.CAMERA_LENS
    camera = bpy.data.objects.new("Camera", lens)
    camera.rotation_euler = (math.radians(demo_shot.CAMERA_PITCH), 0.0, 0.0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    animate(camera, demo_shot.CAMERA_PATH)


def animate(obj: bpy.types.Object, path: tuple[tuple[int, demo_shot.Point], ...]) -> None:
    """Keyframe an object's location; Blender eases in and out between keys."""
    for frame, location in path:
        obj.location = location
        obj.keyframe_insert("location", frame=frame)


def build(scene: Any) -> None:
    """Fill an empty scene with the demo's shot."""
    scene.frame_start, scene.frame_end = demo_shot.FRAME_START, demo_shot.FRAME_END
    scene.render.fps = demo_shot.FPS
    scene.render.resolution_x, scene.render.resolution_y = demo_shot.RESOLUTION
    scene.peekaboo.prompt = demo_shot.PROMPT
    scene.peekaboo.seed = demo_shot.SEED
    add_camera(scene)
    for subject in demo_shot.SUBJECTS:
        add_subject(scene, subject)


def main(arguments: list[str]) -> None:
    """Make the scene in an empty file and save it under the name given."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    build(bpy.context.scene)
    save_blend(Path(arguments[0]).resolve())


if __name__ == "__main__":
    inside_blender.run_script(main)
