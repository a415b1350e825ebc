# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what is the user's as it is while a copy of a scene is rendered: results, handlers, drivers."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import bpy
from bpy.app.handlers import persistent

PACKAGE = __name__.removesuffix(".masks.guards")

ABOUT_RENDERS = tuple(
    f"render_{name}" for name in ("init", "pre", "post", "write", "stats", "complete", "cancel")
)
"""Handlers of other add-ons that are told of renders, of which this is none."""
ABOUT_FRAMES = ("frame_change_pre", "frame_change_post")
"""Handlers that may move what they are told the time of; a render shows what they do."""

NOTING = ("render_init", "load_post")
"""When the slot of the last render is noted."""


@contextmanager
def kept(scene, copy) -> Iterator[Handlers]:
    """Keep what is the user's as it is while a copy of a scene is rendered: the results in the render slots,
    and other add-ons' handlers. Drivers that read the scene read the copy.

    Args:
        scene: the user's.
        copy: of it.
    """
    with (
        _no_new_image(),
        _slots_kept(),
        Handlers(scene) as handlers,
        _drivers_led(scene, copy),
    ):
        yield handlers


@contextmanager
def undisturbed(scene, copy) -> Iterator[Handlers]:
    """The same for a render that is waited for, after which Blender evaluates the current scene at its frame:
    what is not keyed would be lost. So another scene is current, at whose frame Blender renders."""
    with (
        temporary(bpy.data.scenes.new("Peekaboo Idle")) as idle,
        kept(scene, copy) as handlers,
        bpy.context.temp_override(scene=idle, view_layer=idle.view_layers[0]),
    ):
        yield handlers


@contextmanager
def temporary(scene) -> Iterator:
    """Remove a scene of ours in the end."""
    scene.is_runtime_data = True  # what is saved meanwhile, by the user or by itself, has no such scene
    try:
        yield scene
    finally:
        # Not scenes.remove(), which looks for windows and crashes Blender 4.3 in its --command mode
        bpy.data.batch_remove([scene])


@contextmanager
def _no_new_image() -> Iterator[None]:
    """Remove the image for results that Blender makes at a file's first render."""
    known = set(bpy.data.images)
    try:
        yield
    finally:
        new = [image for image in bpy.data.images if image not in known]
        bpy.data.batch_remove(image for image in new if image.type == "RENDER_RESULT")


_rendered_slot = 0
"""Index of the slot that the user's last render went into."""


@persistent
def _note_slot(*_) -> None:
    global _rendered_slot
    image = _result()
    _rendered_slot = image.render_slots.active_index if image else 0


def _result():
    """The image that shows results of renders; None before the first."""
    return next((image for image in bpy.data.images if image.type == "RENDER_RESULT"), None)


@contextmanager
def _slots_kept() -> Iterator[None]:
    """Keep the pictures in the user's render slots.

    Before a render, Blender puts the last result away into the slot that it was made for, and frees the one
    of the slot that is shown: but not where both are the same.
    """
    image = _result()
    shown = image.render_slots.active_index if image else 0
    if image:
        image.render_slots.active_index = min(_rendered_slot, len(image.render_slots) - 1)
    try:
        yield
    finally:
        if image:
            image.render_slots.active_index = shown


class Handlers:
    """Keeps other add-ons' handlers from being told of what is no render; entered as a context.

    Those of frames may write to objects of the user's, so that they are told the user's frame in the end. Our
    own write to nothing, and are told nothing.
    """

    def __init__(self, scene):
        self._scene = scene
        self._own: dict[str, list] = {}
        self._kept: dict[str, list] = {}

    def __enter__(self) -> Handlers:
        for name in (*ABOUT_RENDERS, *ABOUT_FRAMES):
            handlers = getattr(bpy.app.handlers, name)
            self._own[name] = [handler for handler in handlers if _is_ours(handler)]
            self._kept[name] = [handler for handler in handlers if not _is_ours(handler)]
            handlers.clear()
        return self

    @contextmanager
    def told(self) -> Iterator[None]:
        """Let those of frames be told within a block."""
        for name in ABOUT_FRAMES:
            getattr(bpy.app.handlers, name).extend(self._kept[name])
        try:
            yield
        finally:
            for name in ABOUT_FRAMES:  # a handler may have taken itself out, or put another in
                handlers = getattr(bpy.app.handlers, name)
                self._kept[name] = list(handlers)
                handlers.clear()

    def __exit__(self, *_) -> None:
        for name, kept in self._kept.items():
            getattr(bpy.app.handlers, name).extend([*self._own[name], *kept])
        moving = [handler for name in ABOUT_FRAMES for handler in self._kept[name]]
        depsgraph = bpy.context.evaluated_depsgraph_get() if moving else None
        for handler in moving:
            code = getattr(handler, "__code__", None)
            arguments = (self._scene, depsgraph)
            try:
                handler(*arguments[: 1 if code and code.co_argcount == 1 else 2])
            except Exception:  # as Blender does
                traceback.print_exc()


def _is_ours(handler) -> bool:
    module = getattr(handler, "__module__", None) or ""
    return module.startswith(f"{PACKAGE}.")


@contextmanager
def _drivers_led(scene, copy) -> Iterator[None]:
    """Let drivers that read one scene read another instead, which is at the time that is evaluated."""
    led = []
    for user in bpy.data.user_map(subset={scene})[scene]:
        for block in (user, getattr(user, "node_tree", None)):
            if block is None or getattr(block, "animation_data", None) is None:
                continue
            for curve in block.animation_data.drivers:
                targets = [one for variable in curve.driver.variables for one in variable.targets]
                led += [one for one in targets if one.id == scene]
    try:
        for target in led:
            target.id = copy
        yield
    finally:
        for target in led:
            target.id = scene


def register():
    """Note where renders go."""
    for name in NOTING:
        getattr(bpy.app.handlers, name).append(_note_slot)


def unregister():
    """Note nothing any more."""
    for name in NOTING:
        getattr(bpy.app.handlers, name).remove(_note_slot)
