# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that make clips, and end that."""

from collections.abc import Callable, Iterable, Mapping

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from ... import memory, windows
from ...engine.orders import Order
from ...errors import PeekabooError
from ...making import batch, delivery, engine_choice, generation
from ...shot import check, pictures, prompt, schedule, shots
from ...takes import finishing, folders, reels, strips
from . import turns
from .takes import OnActiveTake

_rendered: Mapping[float, pictures.Picture] | None = None
"""First frames of the clips that are ordered next, by their times."""


class MakesClips:
    """An operator that makes what its ``orders(context)`` are.

    Called by a script it waits for the clips. Pressed by a user it queues them, and stays while there are
    any, for ESC to cancel the one that is made.
    """

    orders: Callable[..., Iterable[Order]]

    def execute(self, context):
        """Wait until the clips are there."""
        try:
            for _ in batch.make(self.orders(context), engine_choice.engine_settings()):
                pass
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def invoke(self, context, _event):
        """Queue the clips, and listen for ESC while the engine works."""
        before = generation.unfinished()
        try:
            generation.add(self.orders(context))
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        windows.say(_begun(before, generation.unfinished()))  # the progress may be scrolled out of sight
        return self.listen(context)

    def listen(self, context):
        """Stay, unless another one does."""
        listeners = {listener.__name__ for listener in MakesClips.__subclasses__()}
        for window in context.window_manager.windows:
            if any(operator.bl_idname in listeners for operator in window.modal_operators):
                return {"FINISHED"}
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Pass all events on but ESC, which stops the playback first where there is one."""
        if not generation.unfinished():
            return {"FINISHED", "PASS_THROUGH"}
        running = generation.current()
        playing = context.screen is not None and context.screen.is_animation_playing
        if event.type == "ESC" and event.value == "PRESS" and running and not playing:
            generation.cancel()
            return {"RUNNING_MODAL"}
        return {"PASS_THROUGH"}


def _begun(before: list[Order], orders: list[Order]) -> str:
    """What has come of pressing a button, for the status bar: Blender shows no report of one that stays."""
    known = {order.id for order in before}
    added = [order.title for order in orders if order.id not in known]
    what = added[0] if len(added) == 1 else f"{len(added)} clips"
    waits = f"in the queue, behind {len(before)}" if before else "being made    ESC: Cancel"
    return f"Peekaboo: {what} {'is' if len(added) == 1 else 'are'} {waits}"


class PEEKABOO_OT_generate(MakesClips, bpy.types.Operator):
    """Make the clip and put it into the sequencer. Blender stays usable meanwhile; ESC cancels"""

    bl_idname = "peekaboo.generate"
    bl_label = "Generate"
    bl_options = {"REGISTER"}  # no UNDO: the import pushes its own step, minutes later

    count: IntProperty(
        name="Takes",
        description="How many clips to make, each with a seed of its own",
        default=1,
        min=1,
        max=99,
        options={"SKIP_SAVE"},
    )

    shots: EnumProperty(
        name="Shots",
        description="Which shots of the scene, where markers cut it",
        items=[
            ("ENABLED", "Enabled", "All that are ticked"),
            ("CURRENT", "Current", "The one at the current frame"),
        ],
        options={"SKIP_SAVE"},
    )

    is_read: BoolProperty(
        description="The shots have just been read, as far as they can be", options={"SKIP_SAVE", "HIDDEN"}
    )

    @classmethod
    def poll(cls, context):
        """Not while the settings are known to be wrong."""
        scene = reels.edited_scene(context)
        with memory.drawing(not bpy.app.background):  # of the button
            settings = pictures.problem(scene) or schedule.problem(scene)
            problem = prompt.problem_of_shots(scene) or settings
        if problem:
            cls.poll_message_set(problem)
            return False
        return True

    def invoke(self, context, event):
        """First, in turns, show the scene frame by frame where it has simulations without a bake, read shots
        that no check has read, and render the first frame."""
        scene, count, which = reels.edited_scene(context), self.count, self.shots
        try:
            chosen = self._chosen(scene) or shots.enabled(scene)
            folders.check_writable(scene)
        except PeekabooError:  # which is said by what makes the orders
            return super().invoke(context, event)
        span = check.span_to_play(scene, chosen)
        if span or (not self.is_read and check.needs_reading(scene, chosen)):

            def generate() -> None:
                bpy.ops.peekaboo.generate("INVOKE_DEFAULT", count=count, shots=which, is_read=True)

            return turns.begin(check.read_in_turns(scene, chosen, span, generate))
        if "rendered" in (scene.peekaboo.start_from, scene.peekaboo.end_with) and _rendered is None:
            try:
                engine_choice.engine_settings()  # what is missing is told before all work
                clips = [check.read_shot(scene, shot).timing.scene_frames for shot in chosen]
            except PeekabooError:
                return super().invoke(context, event)
            times = [time for clip in clips for time in pictures.rendered_times(scene, clip)]

            def generate_from(rendered: Mapping[float, pictures.Picture]) -> None:
                global _rendered
                _rendered = rendered
                try:
                    bpy.ops.peekaboo.generate("INVOKE_DEFAULT", count=count, shots=which, is_read=True)
                finally:
                    _rendered = None

            return turns.begin(pictures.in_turns(scene, times, generate_from))
        return super().invoke(context, event)

    def orders(self, context):
        """Takes of the scene as it is: in the sequencer, of the one that it shows."""
        scene = reels.edited_scene(context)
        return delivery.orders_of(
            scene, self.count, generation.jobs_of(scene), self._chosen(scene), _rendered or {}
        )

    def _chosen(self, scene) -> list[shots.Shot] | None:
        return [shots.shot_at(scene, scene.frame_current)] if self.shots == "CURRENT" else None


class PEEKABOO_OT_retake(MakesClips, OnActiveTake, bpy.types.Operator):
    """Make the active take once more with a new seed; the new clip will lie above it"""

    bl_idname = "peekaboo.retake"
    bl_label = "Retake"
    bl_options = {"REGISTER"}  # no UNDO: see Generate

    def orders(self, context):
        """The take once more."""
        scene = reels.edited_scene(context)
        used = [job["seed"] for job in generation.jobs_of(scene)]
        return [delivery.order_again(scene, reels.active_take(scene), used)]


class PEEKABOO_OT_finish_take(MakesClips, OnActiveTake, bpy.types.Operator):
    """Let the active take be smooth, or as large as the scene, or show the model's own clip again"""

    bl_idname = "peekaboo.finish_take"
    bl_label = "Finish Take"
    bl_options = {"REGISTER"}  # no UNDO: see Generate

    kind: EnumProperty(
        name="Kind",
        description="What is turned on, or off where it is on",
        items=[
            ("smooth", "Smooth", "A picture for each frame of the scene, along the motion"),
            ("enlarge", "Enlarge", "As large as the scene's picture"),
        ],
        options={"SKIP_SAVE"},
    )

    def execute(self, context):
        """Wait until the clip is there."""
        return self._off(context) or super().execute(context)

    def invoke(self, context, event):
        """Queue it."""
        return self._off(context) or super().invoke(context, event)

    def orders(self, context):
        """The take's clip, finished."""
        scene = reels.edited_scene(context)
        strip = reels.active_take(scene)
        return [delivery.order_finish(scene, strip, self._wanted(strip))]

    def _wanted(self, strip) -> dict[str, bool]:
        """How its clip is to be: as it is seen, with what was ordered since, but for what was pressed."""
        now, folder = strips.finish_of(strip), strips.folder_of(strip)
        to_be = now
        for order in generation.unfinished():
            if order.finish is not None and order.folder == folder:
                to_be = {kind: order.finish[kind] for kind in now}
        return to_be | {self.kind: not now[self.kind]}

    def _off(self, context) -> set | None:
        """Show the model's own clip where nothing else is wanted, which takes no engine."""
        strip = reels.active_take(reels.edited_scene(context))
        try:
            if any(self._wanted(strip).values()):
                return None
            finishing.show_original(strip)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        bpy.ops.ed.undo_push(message=self.bl_label)
        return {"FINISHED"}


class PEEKABOO_OT_cancel(bpy.types.Operator):
    """Stop generating; nothing is kept of the clip, and the next one in the queue begins"""

    bl_idname = "peekaboo.cancel"
    bl_label = "Cancel Generating"
    bl_options = {"INTERNAL"}

    job: StringProperty(
        description="Which one; the one that runs when empty", options={"SKIP_SAVE", "HIDDEN"}
    )

    @classmethod
    def poll(cls, _context):
        """A clip is being generated, or waits for that."""
        if not generation.unfinished():
            cls.poll_message_set("No clip is being generated")
            return False
        return True

    def execute(self, _context):
        """Tell the engine to end it."""
        generation.cancel(self.job)
        return {"FINISHED"}


class PEEKABOO_OT_cancel_all(bpy.types.Operator):
    """Stop generating, and empty the queue; nothing is kept of clips that are not done"""

    bl_idname = "peekaboo.cancel_all"
    bl_label = "Cancel All"
    bl_options = {"INTERNAL"}

    poll = PEEKABOO_OT_cancel.poll

    def execute(self, _context):
        """Tell the engine to end."""
        generation.cancel_all()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        PEEKABOO_OT_generate,
        PEEKABOO_OT_retake,
        PEEKABOO_OT_finish_take,
        PEEKABOO_OT_cancel,
        PEEKABOO_OT_cancel_all,
    )
)
