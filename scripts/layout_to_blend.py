# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a box track of the paper's benchmark into a .blend with a camera and a keyframed empty.

    python scripts/layout_to_blend.py LAYOUTS.json --id ID --out shot.blend [--prompt TEXT] [--phrase TEXT]
    python scripts/layout_to_blend.py LAYOUTS.json --check
    blender -b -P scripts/layout_to_blend.py -- LAYOUTS.json --id ID --out shot.blend

``--check`` projects every record of the file back and compares its boxes with the record's.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from house import inside_blender

from blender_addon.authoring import box_tracks
from blender_addon.engine import catalogue
from blender_addon.errors import PeekabooError
from blender_addon.saving import save_blend
from blender_addon.shot.layout import read_layout

REQUIRED_IOU = 0.97
CHECK_SCALE = 4
"""How much finer label maps are than the model's in --check: whole pixels bound how well boxes can agree."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="layout_to_blend.py", description="Turn a box track into a .blend.")
    parser.add_argument("layouts", type=Path, help="JSON file of records: id, caption, subject, bboxes")
    parser.add_argument("--id", action="append", help="the record to take; repeat it for more subjects")
    parser.add_argument("--out", type=Path, help="the .blend to write")
    parser.add_argument("--prompt", help="describes the clip, instead of the first record's caption")
    parser.add_argument("--phrase", help="names the subject in the prompt, instead of the record's subject")
    parser.add_argument("--model", default=catalogue.DEFAULT_MODEL, help="whose aspect the scene gets")
    parser.add_argument("--check", action="store_true", help="project all records back and compare")
    options = parser.parse_args(arguments)
    if not options.check and not (options.id and options.out):
        parser.error("give --id and --out, or --check")
    if options.phrase and len(options.id or []) > 1:
        parser.error("--phrase is for one subject")
    return options


def build(records: list[box_tracks.BoxTrack], options: argparse.Namespace):
    """Start an empty file and make its scene a shot of the records; returns the scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    records = [
        dataclasses.replace(
            record, caption=options.prompt or record.caption, phrase=options.phrase or record.phrase
        )
        for record in records
    ]
    box_tracks.build(bpy.context.scene, records, options.model)
    return bpy.context.scene


def check(records: list[box_tracks.BoxTrack], options: argparse.Namespace) -> None:
    """Print how well each record's boxes come back; raises PeekabooError below the required agreement."""
    width, height, _ = catalogue.model_size(options.model)
    worst = []
    for record in records:
        scene = build([record], options)
        layout = read_layout(scene, CHECK_SCALE * width, CHECK_SCALE * height, len(record.boxes))
        iou = box_tracks.box_iou(box_tracks.projected_boxes(layout)[:, 0], record.boxes)
        worst.append(iou.min())
        print(f"{record.id}: mean IoU {iou.mean():.4f}, worst frame {iou.min():.4f}", flush=True)
    print(f"{len(worst)} records, worst frame {min(worst):.4f}", flush=True)
    if min(worst) < REQUIRED_IOU:
        raise PeekabooError(
            f"A box came back with an IoU of {min(worst):.4f}: less than {REQUIRED_IOU} is a fault."
        )


def main(arguments: list[str]) -> None:
    """Write the .blend, or check the file; raises PeekabooError where that fails."""
    options = parse(arguments)
    records = box_tracks.load(options.layouts)
    if options.id:
        found = {record.id: record for record in records}
        for identity in options.id:
            if identity not in found:
                raise PeekabooError(
                    f'There is no layout "{identity}" in "{options.layouts}": give the id of one, such as '
                    f'"{next(iter(found))}".'
                )
        records = [found[identity] for identity in options.id]
    if options.check:
        check(records, options)
        return
    build(records, options)
    save_blend(options.out)
    print(f"saved {options.out}", flush=True)


if __name__ == "__main__":
    inside_blender.run_script(main)
