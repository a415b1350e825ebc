# SPDX-License-Identifier: GPL-3.0-or-later
"""How often scenes have changed, to tell whether what was made of one is still what it would be now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import bpy
from bpy.app.handlers import persistent

_changes, _views = 0, 0
_changed_at = 0.0
_ignoring = False


def count() -> int:
    """How often any scene has changed; another frame alone is no change."""
    return _changes


def count_of_views() -> int:
    """How often what a viewport shows may have changed, also by another frame."""
    return _views


def quiet_seconds() -> float:
    """For how long no scene has changed."""
    return time.monotonic() - _changed_at


@contextmanager
def updates_ignored() -> Iterator[None]:
    """What is done inside changes no shot: it does not count as a change, nor does what it leaves behind.

    Blender tells of changes late, and of several at once. So it is made to tell of those before, which
    count, and of those inside, which do not. A block within another belongs to that.
    """
    global _ignoring
    if _ignoring:  # as where a frame is shown inside, and a camera's take appears
        yield
        return
    flush_updates()
    _ignoring = True
    try:
        yield
    finally:
        try:
            flush_updates()
        finally:
            _ignoring = False


def flush_updates() -> None:
    """Let Blender tell of all changes of what its windows show, as it would do before it draws them."""
    windows = bpy.context.window_manager.windows
    for layer in [window.view_layer for window in windows] or [bpy.context.view_layer]:
        layer.update()


@persistent
def _updated(scene=None, depsgraph=None) -> None:
    """Count a change; not one of a scene that no window shows, such as a workspace's for its sequencers.

    Blender evaluates that at a time of its own, and would tell so after each of our readings, for ever.
    """
    global _changes, _changed_at
    windows = bpy.context.window_manager.windows
    if depsgraph is not None and windows and all(window.scene != scene for window in windows):
        return
    if not _ignoring:
        _changes += 1
        _changed_at = time.monotonic()


@persistent
def _loaded(*_arguments) -> None:
    global _changes
    _changes += 1


@persistent
def _view_changed(*_arguments) -> None:
    global _views
    _views += 1


_UPDATES = ("depsgraph_update_post", "undo_post", "redo_post")
_HANDLERS = [
    *((name, _updated) for name in _UPDATES),
    ("load_post", _loaded),
    *((name, _view_changed) for name in (*_UPDATES, "frame_change_post", "load_post")),
]


def register():
    """Begin to count."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister():
    """Count no more."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
