# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that make subjects."""

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ...authoring import placing
from ...errors import PeekabooError, shown
from ...masks import cast
from ...shot import check, shots, subjects
from . import turns

SHAPES: Any = [
    ("SPHERE", "Sphere", "A ball, or scaled an ellipsoid", "SPHERE", 0),
    ("CUBE", "Cube", "A box", "CUBE", 1),
    ("CONE", "Cone", "A pyramid", "CONE", 2),
    ("CIRCLE", "Circle", "A flat disc", "MESH_CIRCLE", 3),
]
"""Outlines that an empty can give; the first item is an ``empty_display_type``."""


class PEEKABOO_OT_add_subject(bpy.types.Operator):
    """Add an empty that marks where something is in the clip"""

    bl_idname = "peekaboo.add_subject"
    bl_label = "Add Subject"
    bl_options = {"REGISTER", "UNDO"}

    shape: EnumProperty(
        name="Shape",
        description="The outline that the subject is to have",
        items=SHAPES,
    )
    size: FloatProperty(
        name="Size",
        description="Half the extent",
        subtype="DISTANCE",
        default=1.0,
        min=0.0001,
        soft_min=0.01,
        soft_max=100.0,
    )
    phrase: StringProperty(name="Phrase", description="The words of the prompt that name what is here")
    placement: EnumProperty(
        name="Place",
        description="Where the subject is put",
        items=[
            ("CAMERA", "In View", "Before the camera, as far away as the 3D cursor"),
            ("CURSOR", "3D Cursor", "At the 3D cursor"),
        ],
    )

    @classmethod
    def poll(cls, context):
        """Objects are added in object mode."""
        if context.mode != "OBJECT":
            cls.poll_message_set("Go to Object Mode first")
            return False
        return True

    def execute(self, context):
        """Add the empty."""
        try:
            if self.placement == "CAMERA":
                location = placing.place_in_view(context.scene)
            else:
                location = context.scene.cursor.location
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        placing.add_subject(context, self.shape, self.size, location, self.phrase)
        return {"FINISHED"}


class PEEKABOO_OT_make_subjects(bpy.types.Operator):
    """Let the selected objects mark where something is in the clip"""

    bl_idname = "peekaboo.make_subjects"
    bl_label = "Use Selected as Subjects"
    bl_options = {"REGISTER", "UNDO"}

    together: BoolProperty(
        name="As One",
        description="All of them are one subject, with one phrase, that the active object stands for",
        default=False,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context):
        """Some selected object can become a subject."""
        if not _future_subjects(context):
            locked = any(not subjects.is_kept(obj) for obj in context.selected_objects)
            cls.poll_message_set(
                "Marks on linked objects are lost with the session: make a library override that is editable"
                if locked
                else "Select empties, meshes, curves, texts or armatures that are no subjects yet"
            )
            return False
        return True

    def execute(self, context):
        """Mark the objects."""
        objects = _future_subjects(context)
        if self.together:
            leader = context.object if context.object in objects else objects[0]
            subjects.mark_as_one(context.scene, objects, leader)
        else:
            for obj in objects:
                subjects.mark(context.scene, obj)
        for obj in objects:
            if (rig := _rig_of_more(context.scene, obj)) is not None:
                one, all_of = shown(obj.name), shown(rig.name)
                text = f'"{one}" alone is the subject: make "{all_of}" one, for all that it moves'
                self.report({"WARNING"}, text)
        return {"FINISHED"}


def _rig_of_more(scene, obj):
    """The armature that deforms an object, and others that are of no subject yet; None without."""
    rigs = cast.armatures_of(obj)
    known = cast.Cast(scene, subjects.used(scene)).owners if rigs else {}
    for rig in rigs:
        if any(rig in cast.armatures_of(other) and other not in known for other in scene.objects):
            return rig
    return None


def _future_subjects(context) -> list:
    return [
        obj
        for obj in context.selected_objects
        if obj.type in placing.CAN_HAVE_EXTENT and not subjects.is_marked(obj) and subjects.is_kept(obj)
    ]


class PEEKABOO_OT_remove_subject(bpy.types.Operator):
    """Take the active object off the list of subjects; the object itself stays"""

    bl_idname = "peekaboo.remove_subject"
    bl_label = "Remove Subject"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """The active object is a subject."""
        if context.object is None or not context.object.peekaboo.is_subject:
            cls.poll_message_set("Choose a subject in the list first")
            return False
        if not subjects.is_kept(context.object):
            cls.poll_message_set("The subject is linked from another file: make a library override of it")
            return False
        return True

    def execute(self, context):
        """Unmark the object."""
        subjects.unmark(context.object)
        return {"FINISHED"}


class PEEKABOO_OT_check_shot(bpy.types.Operator):
    """See which subjects are out of view or too small at which frames of the shot at the current frame"""

    bl_idname = "peekaboo.check_shot"
    bl_label = "Check Shot"
    bl_options = {"REGISTER"}

    def invoke(self, context, _event):
        """First read it in turns, and before show the scene frame by frame for simulations without a bake."""
        scene = context.scene
        try:
            chosen = [shots.shot_at(scene, scene.frame_current)]
        except PeekabooError:  # which is said below
            return self.execute(context)
        span = check.span_to_play(scene, chosen)
        if not span and not check.needs_reading(scene, chosen):
            return self.execute(context)
        return turns.begin(check.read_in_turns(scene, chosen, span, bpy.ops.peekaboo.check_shot))

    def execute(self, context):
        """Look at all frames; the panel shows what was found."""
        scene = context.scene
        try:
            shot = shots.shot_at(scene, scene.frame_current)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        report = check.check_now(scene, shot)
        if report.problem:
            self.report({"ERROR"}, report.problem)
            return {"CANCELLED"}
        for finding in report.findings:
            self.report({"WARNING"}, finding.text)
        if not report.findings:
            self.report({"INFO"}, "All subjects are in view")
        return {"FINISHED"}


class PEEKABOO_OT_go_to_frame(bpy.types.Operator):
    """Go to this frame, to see what the Shot Check has found"""

    bl_idname = "peekaboo.go_to_frame"
    bl_label = "Go to Frame"
    bl_options = {"INTERNAL"}

    frame: IntProperty(name="Frame", description="Of the scene", options={"HIDDEN"})

    def execute(self, context):
        """Go there; no step of undo, as in the timeline."""
        context.scene.frame_set(self.frame)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        PEEKABOO_OT_add_subject,
        PEEKABOO_OT_make_subjects,
        PEEKABOO_OT_remove_subject,
        PEEKABOO_OT_check_shot,
        PEEKABOO_OT_go_to_frame,
    )
)
