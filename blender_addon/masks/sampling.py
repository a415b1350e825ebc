# SPDX-License-Identifier: GPL-3.0-or-later
"""Sample a scene's animation into label maps, without moving the user's scene in time.

A temporary scene holds only the subjects and the cameras: Blender evaluates what they depend on and nothing
else, and the user's frame, selection and undo history are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import bpy
import numpy as np

from ..errors import PeekabooError
from . import cameras, projection
from . import outlines as subjects
from .geometry import Hulls

SHUTTER_SAMPLES = 8
"""How many moments of the open shutter are looked at for motion blur."""


class Sampler:
    """Makes label maps of a scene at any time, while it is entered as a context."""

    def __init__(self, scene, objects: list, times: Iterable[float], hulls: Hulls | None = None):
        """Prepare for a scene.

        Args:
            scene: the user's; its settings say whether other objects hide subjects and whether motion blurs.
            objects: the subjects; label k is ``objects[k - 1]``.
            times: scene times that will be asked for, which decide what cameras are needed.
            hulls: remembers convex hulls from one sampler to the next.

        Raises:
            PeekabooError: the scene has no camera, or a subject moves by simulation.
        """
        for obj in objects if scene.rigidbody_world else ():
            if body := _simulated_body(obj):
                raise PeekabooError(
                    f'The subject "{obj.name}" is moved by the rigid body simulation of "{body.name}", which '
                    "runs in its own scene only: bake it to keyframes."
                )
        self._scene = scene
        self._subjects = objects
        self._cameras = [cameras.camera_at(scene, time) for time in times]
        self._stand_ins: dict = {}
        self._time: float | None = None  # that the stage is at
        self._hulls = hulls or Hulls()

    def __enter__(self) -> Sampler:
        self._stage = bpy.data.scenes.new("Peekaboo Sampling")
        try:
            self._stage.active_clip = self._scene.active_clip  # what Follow Track and the like look at
            for setting in ("fps", "fps_base", "frame_map_old", "frame_map_new"):
                setattr(self._stage.render, setting, getattr(self._scene.render, setting))
            objects = dict.fromkeys([*self._subjects, *self._cameras])
            if self._scene.peekaboo.occluded_by_scene:
                objects |= dict.fromkeys(subjects.rendered_objects(self._scene))
            for obj in objects:
                self._stage.collection.objects.link(self._evaluable(obj))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        # Not scenes.remove(), which looks for windows and crashes Blender 4.3 in its --command mode
        bpy.data.batch_remove([self._stage])
        for stand_in in self._stand_ins.values():
            bpy.data.objects.remove(stand_in)
        self._stand_ins.clear()

    def _evaluable(self, obj):
        """The object, or a copy of one that Blender evaluates otherwise for a viewport than for a render."""
        if is_evaluated_as_shown(obj):
            return obj
        stand_in = obj.copy()
        stand_in.hide_viewport = False
        for modifier in stand_in.modifiers:
            modifier.show_viewport = modifier.show_render
            if hasattr(modifier, "render_levels"):
                modifier.levels = modifier.render_levels
        self._stand_ins[obj] = stand_in
        return stand_in

    def label_map(self, time: float, width: int, height: int, aspect: float | None = None) -> np.ndarray:
        """Label each pixel with the subject that is seen there: uint8 (height, width), row 0 at the top.

        With motion blur, a pixel that any subject passes while the shutter is open has the label of the one
        that is seen there the longest.

        Args:
            time: in scene frames.
            width: of the map, in pixels.
            height: of the map, in pixels.
            aspect: of the picture; that of square pixels by default.

        Raises:
            PeekabooError: a camera or a subject that cannot be projected.
        """
        camera = cameras.camera_at(self._scene, time)
        if not self._scene.peekaboo.motion_blur:
            return self._label_moment(time, camera, (width, height), aspect)
        seen = np.zeros((len(self._subjects) + 1, height, width), np.uint8)
        rows, columns = np.indices((height, width), sparse=True)
        for moment in self._shutter(time):
            seen[self._label_moment(moment, camera, (width, height), aspect), rows, columns] += 1
        longest = seen[1:].argmax(axis=0) + 1
        return np.where(seen[1:].any(axis=0), longest, 0).astype(np.uint8)

    def strengths(self, time: float) -> list[float]:
        """The strength of each subject at a time, with its keyframes and drivers."""
        if time != self._time:  # motion blur has gone on to other moments
            self._go_to(time)
        depsgraph = self._stage.view_layers[0].depsgraph
        return [self._evaluated(obj, depsgraph).peekaboo.strength for obj in self._subjects]

    def view(self, time: float, aspect: float) -> projection.Camera:
        """What the scene's camera sees at a time; see :func:`cameras.view`."""
        return self._view(time, cameras.camera_at(self._scene, time), aspect)

    def _shutter(self, time: float) -> np.ndarray:
        """Moments spread evenly over the time that the shutter is open around a frame."""
        length = self._scene.render.motion_blur_shutter
        opening = {"START": 0, "CENTER": -0.5, "END": -1}[self._scene.render.motion_blur_position] * length
        return time + opening + (np.arange(SHUTTER_SAMPLES) + 0.5) / SHUTTER_SAMPLES * length

    def _label_moment(self, time: float, camera, size: tuple[int, int], aspect: float | None) -> np.ndarray:
        view = self._view(time, camera, aspect or size[0] / size[1])
        depsgraph = self._stage.view_layers[0].depsgraph
        shapes = [
            subjects.shapes_of(self._evaluated(obj, depsgraph), depsgraph, self._hulls)
            for obj in self._subjects
        ]
        hiders: Iterable[projection.Shape] = ()
        if self._scene.peekaboo.occluded_by_scene:
            hiders = subjects.occluders(depsgraph, {self._stand_ins.get(obj, obj) for obj in self._subjects})
        return projection.label_map(view, shapes, *size, hiders)

    def _view(self, time: float, camera, aspect: float) -> projection.Camera:
        """Evaluate the stage at a time, seen through one of the cameras."""
        self._stage.camera = self._stand_ins.get(camera, camera)
        self._go_to(time)
        depsgraph = self._stage.view_layers[0].depsgraph
        return cameras.view(self._evaluated(camera, depsgraph), depsgraph, self._scene.render, aspect)

    def _go_to(self, time: float) -> None:
        frame = math.floor(time)
        self._stage.frame_set(frame, subframe=time - frame)
        self._time = time

    def _evaluated(self, obj, depsgraph):
        return self._stand_ins.get(obj, obj).evaluated_get(depsgraph)


def is_evaluated_as_shown(obj) -> bool:
    """Whether Blender evaluates an object for a viewport as it does for a render."""
    return not obj.hide_viewport and not any(map(_differs_in_viewport, obj.modifiers))


def _differs_in_viewport(modifier) -> bool:
    """Whether a render would show a modifier's result otherwise than a viewport."""
    if modifier.show_viewport != modifier.show_render:
        return True
    return hasattr(modifier, "render_levels") and modifier.levels != modifier.render_levels


def _simulated_body(obj):
    """The object's own active rigid body, or that of what it is parented or constrained to; None without."""
    for one in chain_of(obj):
        if one.rigid_body and one.rigid_body.type == "ACTIVE":
            return one
    return None


def chain_of(obj) -> Iterator:
    """An object, and all that it is parented or constrained to."""
    waiting, seen = [obj], set()
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.add(one)
        yield one
        waiting += [one.parent, *(getattr(constraint, "target", None) for constraint in one.constraints)]
