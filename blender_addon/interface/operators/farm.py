# SPDX-License-Identifier: GPL-3.0-or-later
"""Operator that writes the shots as a job for a render farm."""

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from ... import paths
from ...errors import PeekabooError
from ...farm import bundle
from ...farm.plan import MOST_CLIPS
from ...farm.scenes import Wanted
from ...making import estimates
from ...shot import seeds, shots, subjects
from . import turns

MOST_SEEDS = 99


class PEEKABOO_OT_export_farm_job(bpy.types.Operator):
    """Write the shots that are ticked as a job that render farms take"""

    bl_idname = "peekaboo.export_farm_job"
    bl_label = "Export Farm Job"
    bl_options = {"REGISTER"}

    directory: StringProperty(
        name="Folder",
        description="Gets the job, or where it has other files, a new folder in it does",
        subtype="DIR_PATH",
    )
    farm: EnumProperty(
        name="Farm",
        description="What takes the job",
        items=[
            ("openjd", "Open Job Description", "AWS Deadline Cloud, and what else takes its templates"),
            ("flamenco", "Flamenco", "Blender Studio's farm, with the job type that is written along"),
        ],
    )
    count: IntProperty(
        name="Takes",
        description="How many clips of each shot, each with a seed of its own",
        default=1,
        min=1,
        max=MOST_SEEDS,
    )
    clips_a_task: IntProperty(
        name="Clips a Task",
        description="How many clips a task of the farm makes, for which a model is loaded once; 0: about ten "
        "minutes' worth, by what clips have taken on this machine",
        default=0,
        min=0,
        max=MOST_CLIPS,
    )
    all_scenes: BoolProperty(
        name="All Scenes", description="The shots of all scenes that have subjects, not of this one alone"
    )

    in_turns: BoolProperty(
        description="Let the user go on while simulations are copied, who may cancel",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context):
        """The file was saved, and the scene has a subject."""
        if not bpy.data.filepath:
            cls.poll_message_set("Save the file first: a farm job has a copy of it")
            return False
        if not subjects.marked(context.scene):
            cls.poll_message_set("Add a subject first")
            return False
        return True

    def invoke(self, context, _event):
        """Ask for the folder, how many takes, and of which scenes."""
        self.in_turns = True
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        """Write it, or say why not."""
        own = [scene for scene in bpy.data.scenes if subjects.marked(scene)]
        try:
            if not self.directory:
                raise PeekabooError("No folder was chosen for the farm job: choose one.")
            self.directory = str(bundle.own_folder(paths.absolute(self.directory)))
            wanted = [
                Wanted(
                    scene,
                    shot,
                    seeds.seeds(scene, self.count, shot),
                    estimates.seconds_by_model(scene, shot, []),
                )
                for scene in (own if self.all_scenes else [context.scene])
                for shot in shots.enabled(scene)
            ]
            folder, count = paths.absolute(self.directory), self.clips_a_task or None
            if self.in_turns:
                work = bundle.write_in_turns(wanted, [], folder, farm=self.farm, clips_a_task=count)
                return turns.begin(work, _told)
            written = bundle.write(wanted, [], folder, farm=self.farm, clips_a_task=count)
        except PeekabooError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for kind, sentence in _told(written):
            self.report({kind}, sentence)
        return {"FINISHED"}


def _told(written: bundle.Bundle) -> list[tuple[turns.Kind, str]]:
    count = sum(len(shot.clips) for shot in written.plan.shots)
    clips = "1 clip" if count == 1 else f"{count} clips"
    notes: list[tuple[turns.Kind, str]] = [("WARNING", note) for note in written.notes]
    return [*notes, ("INFO", f"Wrote a farm job of {clips} to {written.folder}")]


register, unregister = bpy.utils.register_classes_factory((PEEKABOO_OT_export_farm_job,))
