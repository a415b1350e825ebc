# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare what Blender draws for each kind of empty with the extent that a subject of that kind gets.

Needs a Blender with a window, since only that draws empties:

    blender --factory-startup -P scripts/measure/measure_empties.py -- --out docs/reference

Writes ``empties.json`` (bounds in pixels of what is drawn and of the mask, for each kind and view) and
``empties.png`` (the mask in colour under the drawn lines, seen obliquely).
"""

import argparse
import json
import math
import sys
import traceback
from pathlib import Path

import bpy
import gpu
import numpy as np
from mathutils import Euler, Matrix

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from house import inside_blender

from blender_addon.masks import cameras, cast, outlines, projection

KINDS = ("PLAIN_AXES", "ARROWS", "SINGLE_ARROW", "CIRCLE", "CUBE", "SPHERE", "CONE", "IMAGE")
VIEWS = {
    "front": (math.pi / 2, 0, 0),
    "top": (0, 0, 0),
    "right": (math.pi / 2, 0, math.pi / 2),
    "oblique": (1.0, 0, 0.6),
}
SIZE = 400
"""Width and height of a view, in pixels; a display size of 1 is 80 of them."""
WIDE = (64, 32)
"""Width and height of the picture in the image empty."""
DRAWN = 0.25
"""Brightness from which a pixel counts as drawn: lines are white and smoothed, on black."""


class Viewport:
    """The window's 3D view, showing nothing but the objects, in white on black."""

    def __init__(self):
        self.scene = bpy.context.scene
        self.area = next(
            area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D"
        )
        self.region = next(region for region in self.area.regions if region.type == "WINDOW")
        self.buffer = gpu.types.GPUOffScreen(SIZE, SIZE)
        space = self.area.spaces.active
        space.shading.type = "WIREFRAME"
        overlay = space.overlay
        for name in ("floor", "axis_x", "axis_y", "axis_z", "cursor", "text", "object_origins", "ortho_grid"):
            setattr(overlay, f"show_{name}", False)
        colors = bpy.context.preferences.themes[0].view_3d
        colors.empty = colors.object_active = colors.object_selected = (1, 1, 1)
        colors.space.gradients.high_gradient = (0, 0, 0)

    def draw(self, camera) -> np.ndarray:
        """Draw the view of a camera: float64 (SIZE, SIZE), brightness 0..1, row 0 at the top."""
        projection_matrix = camera.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=SIZE, y=SIZE)
        self.buffer.draw_view3d(
            self.scene,
            bpy.context.view_layer,
            self.area.spaces.active,
            self.region,
            camera.matrix_world.inverted(),
            projection_matrix,
        )
        pixels = np.array(self.buffer.texture_color.read().to_list(), float).reshape(SIZE, SIZE, 4)
        return pixels[::-1, :, :3].max(axis=2) / 255


def measure() -> tuple[dict, np.ndarray]:
    """Draw and project each kind in each view: bounds, and the picture of the oblique views."""
    viewport = Viewport()
    scene = viewport.scene
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    camera.hide_set(True)
    camera.data.type, camera.data.ortho_scale = "ORTHO", 5
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    bounds, tiles = {}, []
    for kind in KINDS:
        empty = _add_empty(scene, kind)
        for view, turn in VIEWS.items():
            camera.matrix_world = Euler(turn).to_matrix().to_4x4() @ Matrix.Translation((0, 0, 10))
            bpy.context.view_layer.update()
            lines, mask = viewport.draw(camera), _mask(empty, camera)
            bounds[f"{kind} {view}"] = {"drawn": _bounds(lines > DRAWN), "mask": _bounds(mask)}
        tiles.append(_tile(lines, mask))
        bpy.data.objects.remove(empty)
    half = len(tiles) // 2
    return bounds, np.vstack([np.hstack(tiles[:half]), np.hstack(tiles[half:])])


def _add_empty(scene, kind: str):
    empty = bpy.data.objects.new(kind, None)
    empty.empty_display_type = kind
    if kind == "IMAGE":
        empty.data = bpy.data.images.new("Wide", *WIDE)
        empty.data.generated_color = (1, 1, 1, 1)
    scene.collection.objects.link(empty)
    return empty


def _mask(empty, camera) -> np.ndarray:
    depsgraph = bpy.context.evaluated_depsgraph_get()
    view = cameras.view(camera.evaluated_get(depsgraph), depsgraph, bpy.context.scene.render, 1.0)
    shapes = outlines.shapes_at(cast.Cast(bpy.context.scene, [cast.Role((empty,))]), depsgraph)[0]
    return projection.label_map(view, [shapes], SIZE, SIZE) > 0


def _bounds(mask: np.ndarray) -> list[int] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1] if len(rows) else None


def _tile(lines: np.ndarray, mask: np.ndarray) -> np.ndarray:
    fill = np.where(mask[..., None], [0.15, 0.45, 0.75], [0.1, 0.1, 0.1])
    return np.maximum(fill, lines[..., None])


def _save(picture: np.ndarray, path: Path) -> None:
    height, width, _ = picture.shape
    image = bpy.data.images.new("Empties", width, height)
    image.pixels.foreach_set(np.dstack([picture, np.ones((height, width))])[::-1].astype(np.float32).ravel())
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()


def main() -> None:
    """Measure, write, quit; called when the window stands."""
    parser = argparse.ArgumentParser(prog="measure_empties.py")
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args(inside_blender.script_arguments()).out.resolve()
    try:
        bounds, picture = measure()
        (out / "empties.json").write_text(
            json.dumps({"blender": bpy.app.version_string, "bounds": bounds}, indent=1)
        )
        _save(picture, out / "empties.png")
    except Exception:
        traceback.print_exc()
    bpy.ops.wm.quit_blender()


bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(main, first_interval=1)
