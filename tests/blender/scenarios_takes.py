# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios of what is done with takes that are there: run inside Blender."""

import json
import os
import shutil
from pathlib import Path

import bpy
from bpy_extras.view3d_utils import location_3d_to_region_2d
from hands import PAUSE, Hands
from shooting import addon, animate, prepare


def a_take(hands: Hands, clip: Path, frames: int) -> Path:
    """A shot of so many frames, and the folder of a take of it that has a given clip."""
    scene = bpy.context.scene
    yield from prepare(hands)
    animate(bpy.context.view_layer.objects.active)
    scene.frame_end = frames
    layout = addon("shot.layout").read_shot(scene)
    folder = hands.out / "take"
    folder.mkdir()
    of_job = addon("shot.job")
    of_job.write_job(of_job.make_job(scene, layout, 0), layout.labels, folder / "job")
    shutil.copy(clip, folder / "clip.mp4")
    return folder


def scenario_colors(hands: Hands):
    """A take under each colour management of TEST_CASES: in the sequencer, as F12 writes it, in the camera.

    A case is [name, takes in, attributes by owner]. Returned for each is its colour space, what alters it,
    and left, top, width and height of the take in the pictures of the sequencer and of the camera's view.
    """
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 540, 300
    folder = yield from a_take(hands, Path(os.environ["TEST_CLIP"]), 8)
    colors, reels, strips = addon("takes.colors"), addon("takes.reels"), addon("takes.strips")
    found = {}
    for name, takes_in, attributes in json.loads(os.environ["TEST_CASES"]):
        for take in list(reels.takes(scene)):
            strips.remove(take)
        scene.peekaboo.takes_in = takes_in
        try:
            manage(scene, attributes)
        except (TypeError, AttributeError):
            continue  # which this Blender does not have
        with hands.context():
            bpy.ops.peekaboo.import_take(directory=str(folder))
        take = reels.active_take(scene)
        scene.frame_set(3)
        take.id_data.frame_set(3)
        facts = {"space": take.colorspace_settings.name, "altered": colors.alterations(take.id_data)}
        render(take.id_data, hands.out / f"{name} F12.png")
        facts["camera"] = yield from in_camera(hands, f"{name} camera")
        facts["sequencer"] = yield from in_sequencer(hands, take.id_data, f"{name} sequencer")
        found[name] = facts
    return found


def manage(scene, attributes: dict) -> None:
    """Set a scene's colour management to what it is in a new file but for some attributes."""
    plain = {
        "display_settings": {"display_device": "sRGB"},
        "view_settings": {"look": "None", "exposure": 0.0, "gamma": 1.0},
        "cycles": {"film_exposure": 1.0},
    }
    for values in (plain, {"view_settings": {"view_transform": "Standard"}}, attributes):
        for owner, settings in values.items():
            for name, value in settings.items():
                setattr(getattr(scene, owner), name, value)


def render(scene, path: Path) -> None:
    """Render a scene's sequencer as F12 does."""
    addon("compat").set_picture_output(scene.render)
    scene.render.filepath = str(path)
    bpy.ops.render.render(scene=scene.name, write_still=True)


def in_sequencer(hands: Hands, holder, name: str):
    """Take a picture of a sequencer's preview, pixel by pixel; returns where the take is in it."""
    scene, area = bpy.context.scene, hands.area
    show = addon("compat").show_in_sequencers_of
    hands.window.scene = show(hands.window.workspace, holder, scene)
    area.type = "SEQUENCE_EDITOR"
    area.spaces.active.view_type, area.spaces.active.show_overlays = "PREVIEW", False
    yield 2 * PAUSE
    region = next(region for region in area.regions if region.type == "PREVIEW")
    with hands.context(region):
        bpy.ops.sequencer.view_all_preview()
        bpy.ops.sequencer.view_zoom_ratio(ratio=1.0)
    yield 4 * PAUSE
    yield from hands.picture(name)
    width, height = holder.render.resolution_x, holder.render.resolution_y
    left, bottom = region.view2d.view_to_region(-width / 2, -height / 2, clip=False)
    hands.window.scene, area.type = scene, "VIEW_3D"
    yield PAUSE
    return [region.x + left, hands.window.height - region.y - bottom - height, width, height]


def in_camera(hands: Hands, name: str):
    """Take a picture of the active take in the camera's view, opaque; returns where it is in that."""
    scene, space = bpy.context.scene, hands.area.spaces.active
    with hands.context():
        bpy.ops.peekaboo.show_in_camera()
    lens = scene.camera.data
    lens.background_images[0].alpha = 1.0
    scene.frame_set(3)
    space.region_3d.view_perspective = "CAMERA"
    overlay = space.overlay
    overlay.show_extras = overlay.show_floor = overlay.show_axis_x = overlay.show_axis_y = False
    overlay.show_cursor = overlay.show_object_origins = scene.peekaboo.show_outlines = False
    space.region_3d.view_camera_zoom = 10
    yield 6 * PAUSE
    yield from hands.picture(name)
    region = next(region for region in hands.area.regions if region.type == "WINDOW")
    corners = [scene.camera.matrix_world @ corner for corner in lens.view_frame(scene=scene)]
    points = [location_3d_to_region_2d(region, space.region_3d, corner) for corner in corners]
    left, right = min(point.x for point in points), max(point.x for point in points)
    bottom, top = min(point.y for point in points), max(point.y for point in points)
    with hands.context():
        bpy.ops.peekaboo.show_in_camera()
    return [region.x + left, hands.window.height - region.y - top, right - left, top - bottom]
