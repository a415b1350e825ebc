# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on the user's scene that takes long: a frame a turn, with its progress in the status bar, until ESC.

Blender goes on drawing between two turns, and takes nothing else: what was changed then would be lost, or
would spoil what is worked on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Literal

import bpy

from ... import faults
from ...errors import CancelledError, PeekabooError
from ...masks.simulations import Turns

SECONDS = 0.01
"""Between two turns."""

_log = logging.getLogger(__name__)
Kind = Literal["INFO", "WARNING", "ERROR"]
Told = Callable[[Any], Iterable[tuple[Kind, str]]]
"""Makes of what work comes to what is reported of it: kinds of reports, and sentences."""
_pending: tuple[Turns[Any], Told] | None = None


def begin(work: Turns[Any], told: Told = lambda result: ()) -> set[str]:
    """Do work in turns; returns what the operator that was pressed is to return.

    Args:
        work: see the top of this file.
        told: what is reported at its end.
    """
    global _pending
    _pending = work, told
    bpy.ops.peekaboo.work_in_turns("INVOKE_DEFAULT")
    return {"FINISHED"}


class PEEKABOO_OT_work_in_turns(bpy.types.Operator):
    """Go on with work that takes long"""

    bl_idname = "peekaboo.work_in_turns"
    bl_label = "Peekaboo"
    bl_options = {"INTERNAL"}

    def invoke(self, context, _event):
        """Take the work that was begun."""
        global _pending
        pending, _pending = _pending, None
        if pending is None:
            return {"CANCELLED"}
        self._work, self._told = pending
        manager = context.window_manager
        manager.progress_begin(0, 1)
        self._timer = manager.event_timer_add(SECONDS, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Do a turn; ESC ends the work."""
        if event.type == "ESC" and event.value == "PRESS":
            return self._end(context)
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}
        try:
            what, done, total = next(self._work)
        except StopIteration as end:
            self._leave(context)
            for kind, sentence in self._told(end.value):
                self.report({kind}, sentence)
            return {"FINISHED"}
        except CancelledError:  # where Blender itself listens for ESC, as in a render
            return self._end(context)
        except (PeekabooError, RuntimeError) as error:  # the latter of an operator that was called
            return self._fail(context, str(error).removeprefix("Error: ").strip())
        except Exception as error:  # a fault of ours
            return self._fail(context, faults.kept(_log, error))
        context.workspace.status_text_set(f"Peekaboo: {what} {done} of {total}    ESC: Cancel")
        context.window_manager.progress_update(done / total)
        return {"RUNNING_MODAL"}

    def cancel(self, context):
        """End the work before its end, also where Blender closes the window or opens a file."""
        self._work.close()
        self._leave(context)

    def _end(self, context) -> set[str]:
        self.cancel(context)
        self.report({"INFO"}, "Cancelled")
        return {"CANCELLED"}

    def _fail(self, context, sentence: str) -> set[str]:
        self._leave(context)
        self.report({"ERROR"}, sentence)
        return {"CANCELLED"}

    def _leave(self, context) -> None:
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        if context.workspace is not None:
            context.workspace.status_text_set(None)


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_work_in_turns,))
