# SPDX-License-Identifier: GPL-3.0-or-later
"""A preview of masks: each subject in its colour over a quick render of the scene."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from blender_addon import compat
from blender_addon.masks import cameras
from blender_addon.shot.layout import Layout, Timing
from blender_addon.shot.subjects import colors_of

OPACITY = 0.6
"""Of the masks over the render."""
OUTSIDE = 0.18
"""Grey of the background where there is no render."""
SAMPLES = 4
"""A pixel of the render, which is to be recognised and no more."""
SHEET = (4, 4)
"""Columns and rows of the strip of frames, at most."""


def write(scene, layout: Layout, folder: Path) -> tuple[Path, Path]:
    """Write ``masks.png``, frames side by side, and ``masks.mp4``, in time at the scene's frame rate.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    colors = colors_of(scene, [subject.name for subject in layout.subjects])
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        backdrops = _render(scene, layout, scratch)
        frames = [paint(*pair, colors) for pair in zip(layout.labels, backdrops, strict=True)]
        sheet = _save(_sheet(frames), scratch / "masks.png")
        pictures = [_save(frame, scratch / f"frame-{i:04}.png") for i, frame in enumerate(frames)]
        movie = _encode(pictures, layout.timing, frames[0].shape, scratch / "masks.mp4")
        return sheet.replace(folder / sheet.name), movie.replace(folder / movie.name)


def paint(labels: np.ndarray, backdrop: np.ndarray, colors: list[tuple[float, float, float]]) -> np.ndarray:
    """Lay subjects' colours over a picture.

    Args:
        labels: (height, width), k for ``colors[k - 1]``.
        backdrop: (height, width, 3), 0..1 in sRGB, row 0 at the top.
        colors: red, green and blue of each subject, 0..1 in sRGB.

    Returns:
        float32 (height, width, 3).
    """
    palette = np.array([(0, 0, 0), *colors], np.float32)
    alpha = np.where(labels > 0, OPACITY, 0)[..., None]
    return (backdrop * (1 - alpha) + palette[labels] * alpha).astype(np.float32)


def _sheet(frames: list[np.ndarray]) -> np.ndarray:
    columns, rows = SHEET
    count = min(len(frames), columns * rows)
    chosen = [frames[i * len(frames) // count] for i in range(count)]
    blank = np.zeros_like(frames[0])
    columns = min(columns, count)
    chosen += [blank] * (-count % columns)
    return np.vstack([np.hstack(chosen[i : i + columns]) for i in range(0, len(chosen), columns)])


def _render(scene, layout: Layout, scratch: Path) -> list[np.ndarray]:
    """Render each frame with few samples; plain grey where the scene has nothing that renders."""
    frames, height, width = layout.labels.shape
    if not any(obj.type in {"MESH", "CURVE", "SURFACE", "META", "FONT"} for obj in scene.objects):
        return [np.full((height, width, 3), OUTSIDE, np.float32)] * frames
    double = scene.copy()  # shares the objects, so that the user's settings stay as they are
    try:
        _set_up(double, width, height)
        backdrops = []
        for i, time in enumerate(layout.timing.scene_frames):
            double.camera = cameras.camera_at(scene, time)
            double.frame_set(math.floor(time), subframe=time % 1)
            double.render.filepath = str(scratch / f"render-{i:04}.png")
            bpy.ops.render.render(write_still=True, scene=double.name)
            backdrops.append(_center(_load(double.render.filepath), width, height))
        return backdrops
    finally:
        bpy.data.scenes.remove(double)


def _set_up(double, width: int, height: int) -> None:
    """Let a scene render quickly, at the size at which its centre is the masks' frame."""
    render = double.render
    left, bottom, right, top = cameras.crop_pixels(render)
    scale = max(
        width / ((right - left) * render.pixel_aspect_x), height / ((top - bottom) * render.pixel_aspect_y)
    )
    full_width, full_height = cameras.render_size(render)
    render.resolution_x = round(full_width * render.pixel_aspect_x * scale)
    render.resolution_y = round(full_height * render.pixel_aspect_y * scale)
    render.pixel_aspect_x = render.pixel_aspect_y = 1
    render.resolution_percentage = 100
    render.engine = "CYCLES"
    double.cycles.samples, double.cycles.use_denoising = SAMPLES, False
    double.cycles.max_bounces = 2
    render.use_compositing = render.use_sequencer = False
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "PNG"
    double.timeline_markers.clear()  # the camera is set for each frame


def _center(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """The central part of a picture, which may be a pixel short of the size by rounding."""
    spare_y, spare_x = max(0, picture.shape[0] - height) // 2, max(0, picture.shape[1] - width) // 2
    part = picture[spare_y : spare_y + height, spare_x : spare_x + width]
    return np.pad(part, [(0, height - part.shape[0]), (0, width - part.shape[1]), (0, 0)], mode="edge")


def _load(path: str) -> np.ndarray:
    image: Any = bpy.data.images.load(path)
    try:
        width, height = image.size
        pixels = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(pixels)
        return pixels.reshape(height, width, 4)[::-1, :, :3]
    finally:
        bpy.data.images.remove(image)


def _save(picture: np.ndarray, path: Path) -> Path:
    height, width, _ = picture.shape
    image: Any = bpy.data.images.new(path.stem, width, height)
    try:
        opaque = np.dstack([picture, np.ones((height, width))])
        image.pixels.foreach_set(opaque[::-1].astype(np.float32).ravel())
        image.filepath_raw, image.file_format = str(path), "PNG"
        image.save()
    finally:
        bpy.data.images.remove(image)
    return path


def _encode(pictures: list[Path], timing: Timing, shape: tuple, path: Path) -> Path:
    """Hold each picture for its share of the scene's frames, in a movie made by Blender's sequencer."""
    scene: Any = bpy.data.scenes.new("Peekaboo Preview")
    try:
        strips = compat.strips(scene.sequence_editor_create())
        bounds = [1 + i * timing.frame_count // len(pictures) for i in range(len(pictures) + 1)]
        for i, picture in enumerate(pictures):
            if bounds[i] < bounds[i + 1]:
                strip = strips.new_image(
                    name=picture.stem, filepath=str(picture), channel=1, frame_start=bounds[i]
                )
                compat.set_strip_length(strip, bounds[i + 1] - bounds[i])
        scene.frame_start, scene.frame_end = 1, timing.frame_count
        scene.render.fps, scene.render.fps_base = timing.fps, timing.fps_base
        scene.render.resolution_y, scene.render.resolution_x = shape[:2]
        scene.render.resolution_percentage = 100
        scene.view_settings.view_transform = "Standard"
        compat.set_movie_output(scene.render)
        scene.render.filepath = str(path)
        bpy.ops.render.render(animation=True, scene=scene.name)
    finally:
        bpy.data.scenes.remove(scene)
    return path
