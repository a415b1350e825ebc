# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluate objects as a render does, without rendering and without moving the user's scene.

Blender evaluates a scene in two ways, for a viewport and for a render: levels of modifiers, *Is Viewport*
nodes, the resolution of curves, what is hidden and what is instanced all differ. Only a render engine gets to
see the second one. So there is one, which a temporary copy of the scene is rendered with. It makes no picture
but lets the copy be evaluated at one time after the other, as Cycles does for motion blur.

The copy holds some of the scene's objects and not the rest, and Blender evaluates what those depend on and
nothing else. It has all the scene's own settings, such as gravity, *Simplify* and custom properties, and
their animation. What is evaluated for a render is not written back to objects: what the user has moved and
not keyed stays there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import bpy
import numpy as np

from .. import compat, windows
from ..errors import PeekabooError
from .guards import Handlers, temporary, undisturbed

T = TypeVar("T")

COSTLY = (
    *("border", "compositing", "sequencer", "freestyle", "multiview", "motion_blur", "stamp"),
    "persistent_data",  # with it, Blender keeps what it has evaluated for a copy that is gone by then
)
"""What a render may use (``RenderSettings.use_...``) and a stage must not."""

INSTANT = 1 / 1024
"""Of a frame, in which nothing moves that is seen."""

PICTURE = 4
"""Width and height in pixels of the picture that the engine is asked for, the least that Blender takes."""


class PEEKABOO_RE_stage(bpy.types.RenderEngine):
    """Has a :class:`Stage` evaluated; makes no picture."""

    bl_idname = "PEEKABOO_STAGE"
    bl_label = "Peekaboo Masks"

    work: Callable[[Stage], None] | None = None
    """What to do with the stage that is rendered next."""
    errors: ClassVar[list[BaseException]] = []
    """What that has raised."""

    def render(self, depsgraph):
        """Do the work; a render that the user has asked for has none, and is told so."""
        if self.work is None:
            self.report({"ERROR"}, "Peekaboo Masks makes no pictures: choose another render engine.")
        else:
            type(self).work(Stage(self, depsgraph))


class Stage:
    """The copy of a scene, while it can be evaluated."""

    def __init__(self, engine: bpy.types.RenderEngine, depsgraph: bpy.types.Depsgraph):
        """Wrap what Blender hands to a render engine."""
        self._engine = engine
        self.depsgraph = depsgraph

    @property
    def objects(self) -> list:
        """All objects that are evaluated, also those that others depend on; originals."""
        return [block.original for block in self.depsgraph.ids if isinstance(block, bpy.types.Object)]

    def show(self, passes: Mapping[str, np.ndarray], fields: Mapping[str, str]) -> None:
        """Make a picture of passes.

        Args:
            passes: float32 (height, width, channels) of each, row 0 at the top.
            fields: what the file is to say beside the picture.
        """
        for name, pixels in passes.items():
            if name != "Combined":
                channels = pixels.shape[2]
                self._engine.add_pass(name, channels, "RGBA" if channels == 4 else "Z")
        result = self._engine.begin_result(0, 0, self._engine.resolution_x, self._engine.resolution_y)
        shown: Any = result.layers[0].passes
        for name, pixels in passes.items():
            shown[name].rect.foreach_set(np.ascontiguousarray(pixels[::-1], np.float32).ravel())
        self._engine.end_result(result)
        for name, value in fields.items():
            self._engine.get_result().stamp_data_add_field(name, value)

    def go_to(self, time: float) -> None:
        """Evaluate everything at a time, in scene frames."""
        frame = math.floor(time)
        if time == _second_of_bodies(self.depsgraph.scene):
            self._engine.frame_set(frame + 1, 0)
        self._engine.frame_set(frame, time - frame)


def _second_of_bodies(scene) -> int | None:
    """The second frame of a scene's rigid bodies, if there are any.

    Where Blender comes to it from the first, it makes their physics anew, baked or not, for the bodies of a
    copy as for those of the user's scene, which then have what is freed with the copy: 5.2 crashes over it.
    """
    world = scene.rigidbody_world
    return world.point_cache.frame_start + 1 if world is not None and world.enabled else None


def on_stage(scene, objects: Iterable, camera, work: Callable[[Stage], T]) -> T:
    """Put objects of a scene onto a stage and work with them.

    Args:
        scene: the user's.
        objects: that are seen; what they depend on comes along.
        camera: one of them; Blender renders no scene without any.
        work: gets the stage, and must not keep it.

    Returns:
        What ``work`` returns, and it raises what that raises.

    Raises:
        PeekabooError: Blender is rendering.
    """
    results: list[T] = []
    with _copied(scene, objects, camera, lambda stage: results.append(work(stage))) as (copy, _):
        bpy.ops.render.render(scene=copy.name, layer=copy.view_layers[0].name)
    return results[0]


def render_stage(
    scene,
    objects: Iterable,
    camera,
    paint: Callable[[Stage, int], None],
    files: Mapping[int, Path],
    size: tuple[int, int],
    layer: str | None,
) -> None:
    """Render a stage to OpenEXR files.

    Args:
        scene: as ``objects`` and ``camera``: see :func:`on_stage`, which raises the same.
        objects: see there.
        camera: see there.
        paint: gets the stage, and a frame to go to and show.
        files: by their frames.
        size: width and height in pixels.
        layer: name of the layer in the files; None for files of the combined picture alone.
    """
    with _copied(scene, objects, camera, lambda stage: paint(stage, frame)) as (copy, _):
        copy.view_layers[0].name = layer or copy.view_layers[0].name
        render = copy.render
        render.resolution_x, render.resolution_y = size
        compat.set_exr_output(render, layered=layer is not None)
        for frame, path in files.items():
            render.filepath = compat.literal_path(path)
            # What Blender renders, of whatever scene; what is shown then goes to the frame by itself
            bpy.context.scene.frame_current = frame + (frame == _second_of_bodies(scene))
            bpy.ops.render.render(write_still=True, scene=copy.name, layer=copy.view_layers[0].name)
            if PEEKABOO_RE_stage.errors:
                break


def render_copy(
    scene,
    objects: Iterable,
    seen_by: Mapping[int, Any],
    prepare: Callable[[Any], None],
    files: Mapping[int, Path],
    on_frame: Callable[[], None],
) -> None:
    """Render a copy of a scene with an engine of Blender's own.

    Args:
        scene: as ``objects``: see :func:`on_stage`, which raises the same.
        objects: see there.
        seen_by: the camera at each frame.
        prepare: gets the copy, and chooses engine, size and format.
        files: by their frames.
        on_frame: called after each.
    """
    first = next(iter(seen_by.values()))
    with _copied(scene, objects, first, lambda _: None) as (copy, handlers):
        prepare(copy)
        for frame, path in files.items():
            copy.camera = seen_by[frame]
            copy.render.filepath = compat.literal_path(path)
            near = INSTANT if frame == _second_of_bodies(copy) else 0
            for one in (bpy.context.scene, copy):  # of which Blender takes one or the other
                one.frame_float = frame + near
            with handlers.told():
                bpy.ops.render.render(write_still=True, scene=copy.name, layer=copy.view_layers[0].name)
            on_frame()


@contextmanager
def _copied(
    scene, objects: Iterable, camera, work: Callable[[Stage], None]
) -> Iterator[tuple[Any, Handlers]]:
    """A copy of a scene, of which any render within the block does the work; raises what that raises."""
    if windows.is_rendering():
        raise PeekabooError("Blender is rendering, and masks have to wait: try again when that is done.")
    errors: list[BaseException] = []
    PEEKABOO_RE_stage.errors = errors

    def guarded(stage: Stage) -> None:
        try:  # Blender would print what is raised, and go on
            # Drivers and handlers that ask for the current scene get the copy
            with handlers.told(), bpy.context.temp_override(scene=copy, view_layer=copy.view_layers[0]):
                work(stage)
        except BaseException as error:
            errors.append(error)
            stage.show({}, {})  # Blender crashes where it is to write what no engine has made

    with ExitStack() as stack:
        copy = stack.enter_context(temporary_copy(scene, "Peekaboo Stage"))
        _prepare(copy, objects, camera)
        handlers = stack.enter_context(undisturbed(scene, copy))
        PEEKABOO_RE_stage.work = guarded
        stack.callback(setattr, PEEKABOO_RE_stage, "work", None)
        try:
            yield copy, handlers
        except RuntimeError as error:  # which Blender makes of what it reports, such as a full disk
            if not errors:
                raise PeekabooError(
                    f"Blender cannot render the masks ({str(error).strip()}): free some disk space, or "
                    "choose another folder."
                ) from error
        if errors:
            raise errors[0]


@contextmanager
def temporary_copy(scene, name: str) -> Iterator:
    """A copy of a scene with all that is in it, removed in the end."""
    with temporary(scene.copy()) as copy:
        copy.name = name
        yield copy


def _prepare(copy, objects: Iterable, camera) -> None:
    """Let a copy of a scene hold only some objects, and be rendered by the engine above at no cost."""
    everything = copy.collection
    for child in list(everything.children):
        everything.children.unlink(child)
    for obj in list(everything.objects):
        everything.objects.unlink(obj)
    for layer in list(copy.view_layers)[1:]:
        copy.view_layers.remove(layer)
    copy.view_layers[0].use = True  # or nothing is rendered
    for obj in objects:
        everything.objects.link(obj)
    copy.background_set = None  # its objects are among the others
    copy.camera = camera
    render = copy.render
    render.engine = PEEKABOO_RE_stage.bl_idname
    render.resolution_x = render.resolution_y = PICTURE
    render.resolution_percentage = 100
    for costly in COSTLY:
        setattr(render, f"use_{costly}", False)


def register():
    """Make the engine known to Blender."""
    bpy.utils.register_class(PEEKABOO_RE_stage)


def unregister():
    """Take the engine away."""
    bpy.utils.unregister_class(PEEKABOO_RE_stage)
