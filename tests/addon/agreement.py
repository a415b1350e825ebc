# SPDX-License-Identifier: GPL-3.0-or-later
"""How far label maps agree with Cycles on random scenes.

    python tests/addon/agreement.py --cases 1000 --out docs/reference/mask_agreement.json
    blender -b -P tests/addon/agreement.py -- --cases 1000 --out docs/reference/mask_agreement.json

runs many scenes and writes what came out; the tests run a few. ``--first`` has other scenes than those from 0
on, and ``--hidden`` puts objects of all sorts into each, that may hide its subjects. A run that was broken
off goes on: until all is done, what is known lies in OUT with ``.part`` behind it.
"""

import argparse
import dataclasses
import itertools
import json
import math
import random
import sys
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "scripts"))

import random_scenes
import rendered_scenes
from house import inside_blender
from truth import render_labels

from blender_addon.masks import cameras, hiders, outlines, projection, sampling
from blender_addon.masks.cast import Cast, Role
from blender_addon.masks.stage import on_stage

NUDGE = 0.01
"""In pixels: Cycles takes its sample within 0.005 of the pixel's centre.

The rest is for its 32-bit floats.
"""
FAMILIES = {
    "polyhedra": random_scenes.BOXES,
    "curved": random_scenes.CURVED,
    "meshes": random_scenes.MESHES,
    "rendered": rendered_scenes.KINDS,
}


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Pixels of one scene.

    Attributes:
        pixels: all.
        subject_pixels: that show a subject in the truth.
        wrong: whose label differs from the truth's.
        on_outline: with an outline so near their centre that the truth is undecided.
        wrong_elsewhere: wrong, and not on an outline.
        far: wrong, with no outline anywhere in the 3 x 3 pixels around.
    """

    pixels: int
    subject_pixels: int
    wrong: int
    on_outline: int
    wrong_elsewhere: int
    far: int


def compare(seed: int, family: str, hidden: bool = False) -> Agreement:
    """Project and render one random scene, with objects that may hide its subjects or without."""
    return _compare_rendered(seed, hidden) if family == "rendered" else _compare_twins(seed, family, hidden)


def _compare_rendered(seed: int, hidden: bool) -> Agreement:
    """Against a render of the subjects themselves."""
    scene, roles, time, shown = rendered_scenes.build(seed, hidden)
    width, height = bordered_size(scene.render)
    aspect = frame_aspect(scene.render)
    cast, camera = Cast(scene, roles), cameras.camera_at(scene, time)

    def look(stage) -> tuple[np.ndarray, np.ndarray]:
        stage.go_to(time)
        depsgraph = stage.depsgraph
        view = cameras.view(camera.evaluated_get(depsgraph), depsgraph, scene.render, aspect)
        shapes = outlines.shapes_at(cast, depsgraph)
        found = projection.labelled(view, shapes, width, height)
        if not scene.peekaboo.occluded_by_scene:
            return found.labels, near_outline(view, shapes, found.labels)
        hiders.hide(found, view, depsgraph, cast)
        return found.labels, near_outline(
            view, shapes, found.labels, in_picture(depsgraph, cast, view, found)
        )

    labels, on_outline = on_stage(scene, sampling.staged_objects(scene, cast, [camera]), camera, look)
    for frame in range(scene.frame_start, math.floor(time) + 1):
        scene.frame_set(frame)
    scene.frame_set(math.floor(time), subframe=time % 1)
    return _agreement(labels, render_labels(scene, shown), on_outline)


def in_picture(depsgraph, cast: Cast, view, found: projection.Labelled) -> list:
    """All that is seen and no subject's, whether it hides one or not."""
    height, width = found.labels.shape
    exposed = projection.Exposed(view, width, height, everywhere=True)
    return list(hiders.occluders(depsgraph, cast, exposed))


def _compare_twins(seed: int, family: str, hidden: bool) -> Agreement:
    """Against a render of meshes that are where the subjects' outlines should be."""
    scene, objects, time = random_scenes.build(seed, FAMILIES[family])
    walls = random_scenes.add_hiders(scene, random.Random(f"hidden {seed}")) if hidden else []
    scene.peekaboo.occluded_by_scene = hidden
    scene.frame_set(math.floor(time), subframe=time % 1)
    width, height = bordered_size(scene.render)
    roles = [Role((obj,)) for obj in objects]
    labels = sampling.sample(
        scene,
        roles,
        [time],
        lambda sampler: sampler.label_map(time, width, height, frame_aspect(scene.render)),
    )
    depsgraph = bpy.context.evaluated_depsgraph_get()
    view = cameras.view(
        scene.camera.evaluated_get(depsgraph), depsgraph, scene.render, frame_aspect(scene.render)
    )
    cast = Cast(scene, roles)
    shapes = outlines.shapes_at(cast, depsgraph)
    found = projection.labelled(view, shapes, width, height)
    on_outline = near_outline(
        view, shapes, labels, in_picture(depsgraph, cast, view, found) if hidden else ()
    )
    twins = {random_scenes.add_twin(scene, depsgraph, obj): k + 1 for k, obj in enumerate(objects)}
    for obj in objects:
        obj.hide_render = True
    twins |= dict.fromkeys(walls, 0)
    return _agreement(labels, render_labels(scene, twins), on_outline)


def _agreement(labels: np.ndarray, truth: np.ndarray, on_outline: np.ndarray) -> Agreement:
    wrong = labels != truth
    return Agreement(
        truth.size,
        int(np.count_nonzero(truth)),
        int(wrong.sum()),
        int(on_outline.sum()),
        int((wrong & ~on_outline).sum()),
        int((wrong & ~by_edges(truth) & ~by_edges(labels)).sum()),
    )


def bordered_size(render) -> tuple[int, int]:
    """Width and height of the rendered picture in pixels, after the crop."""
    width, height = cameras.render_size(render)
    left, bottom, right, top = cameras.crop_pixels(render)
    return (right - left, top - bottom) if render.use_crop_to_border else (width, height)


def frame_aspect(render) -> float:
    """Shape of the rendered picture, such that none of it is cut off."""
    width, height = bordered_size(render)
    return width * render.pixel_aspect_x / (height * render.pixel_aspect_y)


def near_outline(view, shapes, labels: np.ndarray, hiders=()) -> np.ndarray:
    """Pixels whose label changes when the picture moves by NUDGE: bool, as ``labels``."""
    height, width = labels.shape
    near = np.zeros_like(labels, bool)
    for x, y in itertools.product((-NUDGE, NUDGE), repeat=2):
        nudge = np.eye(4)
        nudge[:2, 3] = 2 * x / width, 2 * y / height
        nudged = dataclasses.replace(view, world_to_clip=nudge @ view.world_to_clip)
        near |= projection.label_map(nudged, shapes, width, height, hiders) != labels
    return near


def by_edges(labels: np.ndarray) -> np.ndarray:
    """Pixels with another label among their eight neighbours: bool, as ``labels``."""
    padded = np.pad(labels, 1, mode="edge")
    height, width = labels.shape
    shifts = itertools.product(range(3), repeat=2)
    return np.any([padded[i : i + height, j : j + width] != labels for i, j in shifts], axis=0)


def main(arguments: list[str]) -> None:
    """Compare many scenes and write the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--hidden", action="store_true", help="with objects that may hide subjects in each")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    report = {"blender": bpy.app.version_string, "cases": options.cases}
    if options.first or options.hidden:
        report |= {"first": options.first, "hidden": options.hidden}
    report["families"] = {}
    results: dict[str, list] = {family: [] for family in FAMILIES}
    part = options.out.with_name(f"{options.out.name}.part")
    known = part.read_text().splitlines() if part.is_file() else []
    with part.open("a") as lines:
        for done, family in zip(range(options.cases), itertools.cycle(FAMILIES), strict=False):
            seed = options.first + done
            if done < len(known):
                case = Agreement(**json.loads(known[done]))
            else:
                case = compare(seed, family, options.hidden)
                print(json.dumps(dataclasses.asdict(case)), file=lines, flush=True)
            results[family].append((seed, case))
            if done % 50 == 49:
                print(f"{done + 1}/{options.cases}", flush=True)
    for family, cases in results.items():
        sums = {key: sum(getattr(case, key) for _, case in cases) for key in Agreement.__dataclass_fields__}
        worst = min(1 - case.wrong / case.pixels for _, case in cases)
        report["families"][family] = {
            "scenes": len(cases),
            **sums,
            "agreement": 1 - sums["wrong"] / sums["pixels"],
            "worst_scene": worst,
            "scenes_with_wrong_elsewhere": [seed for seed, case in cases if case.wrong_elsewhere],
        }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    part.unlink()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    inside_blender.run_script(main)
