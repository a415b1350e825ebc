# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the masks of a .blend, and pictures of them, without generating anything.

    blender -b shot.blend -P scripts/export_masks.py -- --out masks.npz [--preview DIR] ...
    python scripts/export_masks.py shot.blend --out masks.npz [--preview DIR] ...

The second form needs the bpy module. ``masks.npz`` holds ``labels``, uint8 (frames, height, width), 0 for the
background and k for ``names[k - 1]``; ``frames``, the time of each; ``names``, of the objects.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from house import inside_blender, mask_preview

from blender_addon.authoring import box_tracks
from blender_addon.engine import catalogue
from blender_addon.errors import PeekabooError
from blender_addon.masks import projection
from blender_addon.shot.layout import Layout, check_in_view, read_layout, timing_of_each_frame
from blender_addon.shot.model import model_of


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="export_masks.py", description="Write the masks of a .blend.")
    if inside_blender.runs_as_module():
        parser.add_argument("blend", type=Path, help="the file whose active scene is the shot")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")
    parser.add_argument("--preview", type=Path, metavar="DIR", help="folder for masks.png and masks.mp4")
    parser.add_argument("--layout", type=Path, metavar="JSON", help="also write the subjects' boxes")
    parser.add_argument("--coverage", action="store_true", help="also store how full latent cells are")
    parser.add_argument("--model", help="whose size and frames the masks have; the scene's own")
    parser.add_argument("--every-frame", action="store_true", help="a mask for each scene frame, by its step")
    parser.add_argument("--from-marker", metavar="NAME", help="begin at this timeline marker")
    parser.add_argument("--to-marker", metavar="NAME", help="end before this timeline marker")
    return parser.parse_args(arguments)


def set_range(scene: Any, options: argparse.Namespace) -> None:
    """Limit the scene's range to what lies between markers."""
    start = marker_frame(scene, options.from_marker) if options.from_marker else scene.frame_start
    end = marker_frame(scene, options.to_marker) - 1 if options.to_marker else scene.frame_end
    if end < start:  # Blender would move the other end along
        raise PeekabooError("There is no frame between these markers: choose them in their order.")
    scene.frame_start, scene.frame_end = start, end


def marker_frame(scene: Any, name: str) -> int:
    """Find a timeline marker by its name; raises PeekabooError where there is none."""
    marker = scene.timeline_markers.get(name)
    if marker is None:
        raise PeekabooError(f'The scene "{scene.name}" has no marker "{name}": give the name of one.')
    return marker.frame


def write(path: Path, layout: Layout, span: int | None) -> None:
    """Write the arrays, whole or not at all; with coverage if ``span`` says what a latent frame is."""
    arrays: dict[str, Any] = {
        "labels": layout.labels,
        "frames": np.array(layout.timing.scene_frames),
        "names": np.array([subject.name for subject in layout.subjects]),
    }
    if span:
        arrays["coverage"] = projection.coverage(layout.labels, len(layout.subjects), span=span)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        np.savez_compressed(draft, **arrays)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file beside ``path`` that takes its place if the block succeeds, and is removed if not."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def main(arguments: list[str]) -> None:
    """Write what is asked for; raises PeekabooError where that fails."""
    options = parse(arguments)
    if inside_blender.runs_as_module():
        inside_blender.open_blend(options.blend)
    scene: Any = bpy.context.scene
    set_range(scene, options)
    model = options.model or model_of(scene)
    width, height, num_frames = catalogue.model_size(model)
    timing = timing_of_each_frame(scene) if options.every_frame else None
    layout = read_layout(scene, width, height, num_frames, timing=timing)
    check_in_view(scene, layout)
    try:
        write(options.out, layout, catalogue.temporal_compression(model) if options.coverage else None)
        if options.layout:
            records = box_tracks.records_of(layout, scene.peekaboo.prompt)
            with replacing(options.layout) as draft:
                draft.write((json.dumps(records, indent=1) + "\n").encode())
        pictures = mask_preview.write(scene, layout, options.preview) if options.preview else ()
    except (OSError, RuntimeError) as error:  # Blender's own writing raises RuntimeError
        reason = error.strerror if isinstance(error, OSError) else str(error).strip().splitlines()[0]
        raise PeekabooError(
            f"The masks cannot be written ({reason}): choose another folder, or free some space."
        ) from None
    for path in (options.out, options.layout, *pictures):
        if path:
            print(f"wrote {path}", flush=True)


if __name__ == "__main__":
    inside_blender.run_script(main)
