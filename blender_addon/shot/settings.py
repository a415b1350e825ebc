# SPDX-License-Identifier: GPL-3.0-or-later
"""Every setting of a shot and of a subject, once: the only place that knows all about it.

Read by the property groups, by what makes and restores a job, by presets, and by the command line. A new
setting is an entry here and a place in a panel. How a job states its value is decided in :mod:`.stating`;
what it means there, in the engine's ``job.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .. import compat
from ..engine import catalogue
from . import loras, subjects, timed_phrases

CONSTANT: Any = set()
"""Options of a property that cannot be keyframed, since a clip has one value of it."""
AS_TYPED: Any = {"TEXTEDIT_UPDATE"}
"""Options of a text that takes effect with each letter, so that it is checked while it is typed."""


IN_OVERRIDES: Any = {"LIBRARY_OVERRIDABLE"}
"""Of a property that a library override keeps when the file is saved."""


@dataclass(frozen=True)
class Option:
    """An option of the command line that overrides a setting for a run.

    Attributes:
        flag: as it is typed.
        help: what ``--help`` says of it.
        metavar: what stands there for the value; argparse's own when empty.
        several: whether it may be repeated; the setting is then a text with a line for each.
    """

    flag: str
    help: str
    metavar: str | None = None
    several: bool = False


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        property: as a function of :mod:`bpy.props` makes it for a property group.
        job: where its value stands in ``job.json``, or in a subject of it; empty where no job holds it.
        automatic: its value that leaves the choice to the model and is null in a job; None without one.
        in_presets: whether presets of a shot hold it.
        option: its option on the command line, if there is one.
    """

    property: Any
    job: tuple[str, ...] = ()
    automatic: Any = None
    in_presets: bool = False
    option: Option | None = None


def _model_names(_shot, _context, _text):
    return [(name, entry["title"]) for name, entry in catalogue.choosable().items()]


OF_SCHEDULE = ("num_inference_steps", "guidance_scale")
"""Settings that the choice of a schedule sets, too."""


def _leave_numbers_to_schedule(shot, _context):
    if shot.schedule not in {"auto", "none"}:
        for name in OF_SCHEDULE:
            setattr(shot, name, SHOT[name].automatic)


SHOT: Mapping[str, Setting] = {
    "show_outlines": Setting(
        BoolProperty(
            name="Show Outlines",
            description="Draw over the camera view where the engine will see the subjects, and the "
            "clip's edge",
            default=True,
            options=CONSTANT,
        )
    ),
    "show_prompt": Setting(
        BoolProperty(
            name="Show Prompt",
            description="With the outlines, write the prompt of the shot below the camera's frame, each "
            "phrase in its subject's color",
            default=True,
            options=CONSTANT,
        )
    ),
    "use_markers": Setting(
        BoolProperty(
            name="Shots by Markers",
            description="Each marker with a camera begins a shot, which becomes a clip of its own; otherwise "
            "the scene is one clip, through all cuts",
            default=True,
            options=CONSTANT,
        )
    ),
    "prompt": Setting(
        StringProperty(
            name="Prompt",
            description="What the clip shows, with the phrase of each subject in it",
            options=AS_TYPED,
        ),
        job=("prompt",),
        option=Option("--prompt", "what the clip shows; the scene's own by default"),
    ),
    "negative_prompt": Setting(
        StringProperty(name="Negative Prompt", description="What the clip should not show", options=CONSTANT),
        job=("negative_prompt",),
        in_presets=True,
        option=Option("--negative-prompt", "what it should not show"),
    ),
    "model": Setting(
        StringProperty(
            name="Model",
            description="Name of a video model, or the path of a diffusers folder",
            default=catalogue.DEFAULT_MODEL,
            search=_model_names,
            search_options={"SUGGESTION"},
            options=CONSTANT,
        ),
        job=("model",),
        in_presets=True,
        option=Option("--model", "name of a model, or path of a diffusers folder"),
    ),
    "start_from": Setting(
        EnumProperty(
            name="Start From",
            description="What the clip starts from",
            items=[
                ("text", "Text", "The prompt alone"),
                (
                    "rendered",
                    "Rendered Frame",
                    "The scene at the clip's first frame, rendered by its own engine",
                ),
                ("picture", "Picture", "A PNG or JPEG, which fills the frame of the clip"),
            ],
            options=CONSTANT,
        ),
        job=("start_from",),
        in_presets=True,
        option=Option("--start-from", "the prompt alone, a rendered frame of the scene, or a picture"),
    ),
    "picture": Setting(
        StringProperty(
            name="Picture",
            description="The PNG or JPEG that the clip starts from",
            subtype="FILE_PATH",
            options=compat.folder_options(),
        ),
        option=Option("--picture", "start from this PNG or JPEG", "FILE"),
    ),
    "end_with": Setting(
        EnumProperty(
            name="End With",
            description="What the clip ends with, of models that take a last frame beside the first",
            items=[
                ("nothing", "Nothing", "Whatever the model makes"),
                (
                    "rendered",
                    "Rendered Frame",
                    "The scene at the clip's last frame, rendered by its own engine",
                ),
                ("picture", "Picture", "A PNG or JPEG, which fills the frame of the clip"),
            ],
            options=CONSTANT,
        ),
        job=("end_with",),
        automatic="nothing",
        in_presets=True,
        option=Option("--end-with", "nothing, a rendered frame of the scene, or a picture"),
    ),
    "last_picture": Setting(
        StringProperty(
            name="Last Picture",
            description="The PNG or JPEG that the clip ends with",
            subtype="FILE_PATH",
            options=compat.folder_options(),
        ),
        option=Option("--last-picture", "end with this PNG or JPEG", "FILE"),
    ),
    "size": Setting(
        EnumProperty(
            name="Size",
            description="How large the clip's pictures are",
            items=[
                ("model", "Model's", "As the model was trained"),
                ("aspect", "Scene's Aspect", "As many pixels in the shape of the scene's picture"),
                ("custom", "Custom", "Width and height as they are set"),
            ],
            options=CONSTANT,
        ),
        in_presets=True,
        option=Option("--size", "of the pictures"),
    ),
    "width": Setting(
        IntProperty(
            name="Width",
            description="Of the clip's pictures, in pixels, where their size is Custom",
            default=832,
            min=8,
            max=2048,
            subtype="PIXEL",
            options=CONSTANT,
        ),
        in_presets=True,
        option=Option("--width", "in pixels, with --size custom", "N"),
    ),
    "height": Setting(
        IntProperty(
            name="Height",
            description="Of the clip's pictures, in pixels, where their size is Custom",
            default=480,
            min=8,
            max=2048,
            subtype="PIXEL",
            options=CONSTANT,
        ),
        in_presets=True,
        option=Option("--height", "in pixels, with --size custom", "N"),
    ),
    "framing": Setting(
        FloatProperty(
            name="Framing",
            description="Which part of the camera's picture the clip shows where their shapes differ: 0 the "
            "middle, -1 the left or the lower end, 1 the right or the upper one",
            subtype="FACTOR",
            default=0.0,
            min=-1.0,
            max=1.0,
            options=CONSTANT,
        ),
        job=("masks", "framing"),
        in_presets=True,
        option=Option("--framing", "part of the camera's picture, from -1 (left, bottom) to 1", "PLACE"),
    ),
    "frames": Setting(
        EnumProperty(
            name="Frames",
            description="How many pictures the model makes of a shot",
            items=[
                ("model", "Model's Number", "As it was trained, spread over the shot"),
                (
                    "shot",
                    "As the Shot Needs",
                    "As many as the shot lasts at the model's own rate, up to the most that it makes",
                ),
            ],
            options=CONSTANT,
        ),
        in_presets=True,
        option=Option("--frames", "how many the model makes of a shot"),
    ),
    "seed_mode": Setting(
        EnumProperty(
            name="Seed",
            description="What each clip's noise is drawn from",
            items=[
                ("FIXED", "Fixed", "The same seed each time, which gives the same clip again"),
                ("RANDOM", "Random", "A new seed for each clip; the clip's strip remembers it"),
            ],
            options=CONSTANT,
        ),
        in_presets=True,
    ),
    "seed": Setting(
        IntProperty(
            name="Seed",
            description="The same seed gives the same clip again",
            default=0,
            min=0,
            options=CONSTANT,
        ),
        job=("seed",),
    ),
    # Before the numbers that it sets, which a preset or a job may state beside it.
    "schedule": Setting(
        EnumProperty(
            name="Schedule",
            description="For models of few steps: the noise levels that they were trained at, and what goes "
            "with them",
            items=[
                ("auto", "Model's Own", "What the model is meant to be sampled with"),
                (
                    "none",
                    "Scheduler's Own",
                    "As many steps as are asked for, as the model's scheduler has them",
                ),
                *(
                    (name, schedule["title"], schedule["description"])
                    for name, schedule in catalogue.schedules().items()
                ),
            ],
            update=_leave_numbers_to_schedule,
            options=CONSTANT,
        ),
        job=("schedule",),
        automatic="auto",
        in_presets=True,
        option=Option("--schedule", "of few steps, for distilled models and LoRAs"),
    ),
    # Its storage is the list in properties.py.
    "loras": Setting(
        StringProperty(
            name="LoRAs",
            description="Those of the list that are on, a line each: FILE:WEIGHT:EXPERT",
            get=loras.as_text,
            set=loras.set_text,
            options={"SKIP_SAVE"},
        ),
        in_presets=True,
        option=Option(
            "--lora",
            "a .safetensors file, or owner/name/file.safetensors of a repository, in the place of the "
            "scene's; with :distils behind it the one that makes few steps possible; may be repeated",
            "FILE[:WEIGHT][:high|:low]",
            several=True,
        ),
    ),
    # Its storage is the list in properties.py, too.
    "over_time": Setting(
        StringProperty(
            name="Phrases Over Time",
            description="Those of the list that are on, a line each: WORDS:FIRST-LAST:FADE",
            get=timed_phrases.as_text,
            set=timed_phrases.set_text,
            options={"SKIP_SAVE"},
        ),
        option=Option(
            "--phrase-over-time",
            "words of the prompt that these frames alone show, in the place of the scene's; may be repeated",
            "WORDS:FIRST-LAST[:FADE]",
            several=True,
        ),
    ),
    "num_inference_steps": Setting(
        IntProperty(
            name="Steps",
            description="Denoising steps, 0 for the model's own number",
            default=0,
            min=0,
            max=300,
            soft_max=100,
            options=CONSTANT,
        ),
        job=("num_inference_steps",),
        automatic=0,
        in_presets=True,
        option=Option("--steps", "denoising steps", "N"),
    ),
    "guidance_scale": Setting(
        FloatProperty(
            name="Guidance",
            description="How closely the clip follows the prompt, 0 for the model's own value",
            default=0.0,
            min=0.0,
            soft_max=20.0,
            options=CONSTANT,
        ),
        job=("guidance_scale",),
        automatic=0.0,
        in_presets=True,
        option=Option("--guidance", "how closely the clip follows the prompt", "SCALE"),
    ),
    "method": Setting(
        EnumProperty(
            name="Method",
            description="How the masks of the subjects act",
            items=[
                (
                    "auto",
                    "Model's Own",
                    "Strong for Shapes, on which it was measured; Peekaboo for all others",
                ),
                (
                    "peekaboo",
                    "Peekaboo",
                    "As the paper: subject and background do not see each other at first",
                ),
                (
                    "strong",
                    "Strong",
                    "Words stay with their subject for longer, and guidance pushes subject and background "
                    "apart. Measured on Shapes only",
                ),
            ],
            options=CONSTANT,
        ),
        job=("control", "method"),
        automatic="auto",
        in_presets=True,
        option=Option("--method", "how masks act; auto is the model's own"),
    ),
    "masked_steps": Setting(
        IntProperty(
            name="Masked Steps",
            description="Denoising steps in which subjects are held in place, -1 as the method has it",
            default=-1,
            min=-1,
            soft_max=100,
            options=CONSTANT,
        ),
        job=("control", "masked_steps"),
        automatic=-1,
        in_presets=True,
        option=Option("--masked-steps", "steps in which subjects are held in place", "N"),
    ),
    "blocks": Setting(
        EnumProperty(
            name="Blocks",
            description="Which blocks of the denoiser are masked",
            items=[
                ("all", "All", "Every block, as the paper describes"),
                (
                    "mid_up",
                    "Middle and Up",
                    "The middle and upsampling blocks, as the paper's released code does",
                ),
            ],
            options=CONSTANT,
        ),
        job=("control", "blocks"),
        in_presets=True,
    ),
    "special_tokens": Setting(
        EnumProperty(
            name="Special Tokens",
            description="Who sees the start, end and padding tokens of the prompt",
            items=[
                ("background", "Background", "Only what belongs to no subject"),
                ("released", "As Released", "The background sees end and padding, nobody sees the start"),
                ("shared", "Shared", "Everybody"),
            ],
            options=CONSTANT,
        ),
        job=("control", "special_tokens"),
        in_presets=True,
    ),
    "gate_second_temporal": Setting(
        BoolProperty(
            name="Gate Second Temporal",
            description="Also mask the second temporal attention, as the paper's released code does",
            default=False,
            options=CONSTANT,
        ),
        job=("control", "gate_second_temporal"),
        in_presets=True,
    ),
    "widen_small": Setting(
        BoolProperty(
            name="Widen Small Subjects",
            description="Give a subject that is smaller than the model can draw as much room as it needs, so "
            "that it is not lost; it may come out larger than its mask",
            default=True,
            options=CONSTANT,
        ),
        job=("control", "widen_small"),
        in_presets=True,
    ),
    "occluded_by_scene": Setting(
        BoolProperty(
            name="Occluded by Scene",
            description="Objects of the scene that are no subjects hide what is behind them",
            default=False,
            options=CONSTANT,
        ),
        job=("masks", "occluded_by_scene"),
        in_presets=True,
    ),
    "motion_blur": Setting(
        BoolProperty(
            name="Motion Blur",
            description="Subjects take all the room that they pass through while the render's shutter "
            "is open",
            default=False,
            options=CONSTANT,
        ),
        job=("masks", "motion_blur"),
        in_presets=True,
    ),
    "output_folder": Setting(
        StringProperty(
            name="Output Folder",
            description="Where clips go",
            subtype="DIR_PATH",
            default="//peekaboo/",
            options=compat.folder_options(),
        )
    ),
    "smooth": Setting(
        BoolProperty(
            name="Smooth",
            description="Also a clip with a picture for each frame of the scene: between the model's, along "
            "the motion. The model's own clip is kept beside",
            default=False,
            options=CONSTANT,
        ),
        job=("finish", "smooth"),
        in_presets=True,
        option=Option("--smooth", "a picture for each frame of the scene, along the motion"),
    ),
    "enlarge": Setting(
        BoolProperty(
            name="Enlarge",
            description="Also a clip as large as the scene's picture, by a sharp resampling that adds no "
            "detail. The model's own clip is kept beside",
            default=False,
            options=CONSTANT,
        ),
        job=("finish", "enlarge"),
        in_presets=True,
        option=Option("--enlarge", "as large as the scene's picture"),
    ),
    "takes_in": Setting(
        EnumProperty(
            name="Takes In",
            description="Whose sequencer gets the first clip; those to come join it",
            items=[
                (
                    "own",
                    "A Scene of Their Own",
                    "One made for them, of the same range, rate and size, so that F12 renders the 3D scene",
                ),
                ("scene", "This Scene", "The scene's own sequencer, which F12 then renders"),
            ],
            options=CONSTANT,
        ),
        option=Option("--takes-in", "a scene made for them, or the scene's own sequencer"),
    ),
}
"""By the names of the properties of ``Scene.peekaboo``."""


CUT: Mapping[str, Setting] = {
    "enabled": Setting(
        BoolProperty(
            name="Enabled",
            description="Make this shot with the others",
            default=True,
            options=CONSTANT,
        )
    ),
    "prompt": Setting(
        StringProperty(
            name="Prompt",
            description="What this shot shows; empty for the scene's prompt. Subjects that it does not name "
            "are not in the shot",
            options=AS_TYPED,
        )
    ),
    "seed": Setting(
        IntProperty(
            name="Seed",
            description="Of this shot, -1 for the scene's",
            default=-1,
            min=-1,
            options=CONSTANT,
        )
    ),
}
"""What a shot between markers has for itself: by the names of the properties of ``TimelineMarker.peekaboo``.
"""


def _phrase_set(subject, context) -> None:
    """A copy of a subject that gets a phrase of its own is another subject, in a colour of its own."""
    subjects.tell_apart(context.scene, subject.id_data)


SUBJECT: Mapping[str, Setting] = {
    "is_subject": Setting(
        BoolProperty(
            override=IN_OVERRIDES,
            name="Subject",
            description="The object marks where something is in the clip",
            default=False,
            options=CONSTANT,
        )
    ),
    "enabled": Setting(
        BoolProperty(
            override=IN_OVERRIDES,
            name="Enabled",
            description="Use this subject when generating",
            default=True,
            options=CONSTANT,
        )
    ),
    "phrase": Setting(
        StringProperty(
            override=IN_OVERRIDES,
            name="Phrase",
            description="The words of the prompt that name what is here",
            options=AS_TYPED,
            update=_phrase_set,
        ),
        job=("phrase",),
    ),
    "color": Setting(
        FloatVectorProperty(
            override=IN_OVERRIDES,
            name="Color",
            description="Color of the subject's outline and mask",
            subtype="COLOR_GAMMA",
            size=3,
            min=0,
            max=1,
            default=(0.15, 0.9, 1.0),
            options=CONSTANT,
        )
    ),
    "outline": Setting(
        EnumProperty(
            override=IN_OVERRIDES,
            name="Outline",
            description="Which outline a mesh or curve gives; empties give the one that is drawn",
            items=[
                ("HULL", "Hull", "The convex hull: room for what the words name, not its exact form"),
                ("SURFACE", "Surface", "The true silhouette"),
            ],
            options=CONSTANT,
        ),
        job=("outline",),
    ),
    "part_of": Setting(
        PointerProperty(
            override=IN_OVERRIDES,
            name="Part of",
            description="The subject that this object is a part of, as if it were its child",
            type=bpy.types.Object,
        )
    ),
    # In a job it is a number for each frame, since it can be keyframed: see layout.py and restoring.py.
    "strength": Setting(
        FloatProperty(
            override=IN_OVERRIDES,
            name="Strength",
            description="How long the subject is held in place, as a share of the whole time; can be keyed",
            subtype="FACTOR",
            default=1.0,
            min=0.0,
            max=1.0,
        )
    ),
}
"""By the names of the properties of ``Object.peekaboo``."""


def properties(table: Mapping[str, Setting]) -> dict[str, Any]:
    """The properties of a table, as a property group annotates them."""
    return {name: setting.property for name, setting in table.items()}
