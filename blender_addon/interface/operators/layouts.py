# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that exchange layouts: box tracks in the format of the paper's benchmark."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, FloatProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from ...authoring import box_tracks, placing
from ...errors import PeekabooError
from ...shot import subjects


def _records(operator, _context, _text):
    """The layouts of the chosen file, for the field that asks for one of them."""
    try:
        return [(record.id, record.caption) for record in box_tracks.load(Path(operator.filepath))]
    except PeekabooError:  # the sentence comes when the file is imported
        return []


class BeforeCamera:
    """An operator that puts subjects before the scene's camera."""

    @classmethod
    def poll(cls, context):
        """There is a camera to put them before."""
        if context.scene.camera is None:
            cls.poll_message_set("Add a camera to the scene first")
        elif context.mode != "OBJECT":
            cls.poll_message_set("Go to Object Mode first")
        else:
            return True
        return False


class PEEKABOO_OT_import_layout(BeforeCamera, bpy.types.Operator, ImportHelper):
    """Make a box track a keyframed subject before the camera"""

    bl_idname = "peekaboo.import_layout"
    bl_label = "Import Peekaboo Layout"
    bl_options = {"REGISTER", "UNDO", "PRESET"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    record: StringProperty(
        name="Layout",
        description="Id of the layout in the file; its first one when left empty",
        search=_records,
    )
    use_caption: BoolProperty(
        name="Caption as Prompt",
        description="Let the prompt be the layout's caption",
        default=True,
    )
    use_timing: BoolProperty(
        name="Layout's Frames",
        description="Let the scene have a frame for each box, at 8 frames a second. "
        "Otherwise the boxes are spread over the scene's frame range",
        default=False,
    )
    distance: FloatProperty(
        name="Distance",
        description="From the camera; 0 for that of the 3D cursor",
        subtype="DISTANCE",
        default=0.0,
        min=0.0,
        soft_max=100.0,
    )

    def execute(self, context):
        """Add the subject."""
        scene = context.scene
        try:
            record = box_tracks.choose(box_tracks.load(Path(self.filepath)), self.record)
            box_tracks.check([record])
            if self.use_timing:
                box_tracks.take_timing(scene, record)
            distance = self.distance or placing.distance_of_cursor(scene)
            (empty,) = box_tracks.add_subjects(scene, [record], distance, placing.collection_of(context))
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if self.use_caption:
            scene.peekaboo.prompt = record.caption
        subjects.select_only(context.view_layer, empty)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_import_layout,))
