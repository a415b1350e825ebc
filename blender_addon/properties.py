# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user sets: a subject on an object, a shot on a scene."""

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

from . import compat
from .authoring import placing as authoring
from .engine import catalogue as models

CONSTANT: set[str] = set()
"""Options of a property that cannot be keyframed, since a clip has one value of it."""
AS_TYPED = {"TEXTEDIT_UPDATE"}
"""Options of a text that takes effect with each letter, so that it is checked while it is typed."""


METHODS = [
    ("auto", "Model's Own", "Strong for Shapes, on which it was measured; Peekaboo for all others"),
    ("peekaboo", "Peekaboo", "As the paper: subject and background do not see each other at first"),
    (
        "strong",
        "Strong",
        "Words stay with their subject for longer, and guidance pushes subject and background apart. "
        "Measured on Shapes only",
    ),
]
"""How masks act: what a job says, but for ``auto``, which is null there."""


class PEEKABOO_PG_subject(bpy.types.PropertyGroup):
    """What an object stands for in the clip."""

    is_subject: BoolProperty(
        name="Subject",
        description="The object marks where something is in the clip",
        default=False,
        options=CONSTANT,
    )
    enabled: BoolProperty(
        name="Enabled",
        description="Use this subject when generating",
        default=True,
        options=CONSTANT,
    )
    phrase: StringProperty(
        name="Phrase",
        description="The words of the prompt that name what is here",
        options=AS_TYPED,
    )
    color: FloatVectorProperty(
        name="Color",
        description="Color of the subject's outline and mask",
        subtype="COLOR_GAMMA",
        size=3,
        min=0,
        max=1,
        default=(1.0, 0.45, 0.1),
        options=CONSTANT,
    )
    strength: FloatProperty(
        name="Strength",
        description="How long the subject is held in place, as a share of the whole time; can be keyed",
        subtype="FACTOR",
        default=1.0,
        min=0.0,
        max=1.0,
    )
    outline: EnumProperty(
        name="Outline",
        description="Which outline a mesh or curve gives; empties give the one that is drawn",
        items=[
            ("HULL", "Hull", "The convex hull: room for what the words name, not its exact form"),
            ("SURFACE", "Surface", "The true silhouette"),
        ],
        options=CONSTANT,
    )


def _model_names(_shot, _context, _text):
    return [(name, entry["title"]) for name, entry in models.catalogue().items()]


def _active_index(shot):
    """Index of the active object among the scene's, so that the list and the viewport select the same."""
    active = bpy.context.view_layer.objects.active if bpy.context.view_layer else None
    return -1 if active is None else shot.id_data.objects.find(active.name)


def _select_by_index(shot, index):
    obj = shot.id_data.objects[index]
    if bpy.context.mode == "OBJECT" and bpy.context.view_layer.objects.get(obj.name) == obj:
        authoring.select_only(bpy.context.view_layer, obj)


class PEEKABOO_PG_shot(bpy.types.PropertyGroup):
    """How a scene becomes a clip; where a setting has an "auto" value, the model's own default is used."""

    active_subject: IntProperty(
        name="Active Subject",
        description="The active object, as an index of the scene's objects",
        get=_active_index,
        set=_select_by_index,
        options={"SKIP_SAVE"},
    )
    show_outlines: BoolProperty(
        name="Show Outlines",
        description="Draw over the camera view where the engine will see the subjects, and the clip's edge",
        default=True,
        options=CONSTANT,
    )
    prompt: StringProperty(
        name="Prompt",
        description="What the clip shows, with the phrase of each subject in it",
        options=AS_TYPED,
    )
    negative_prompt: StringProperty(
        name="Negative Prompt",
        description="What the clip should not show",
        options=CONSTANT,
    )
    model: StringProperty(
        name="Model",
        description="Name of a video model, or the path of a diffusers folder",
        default=models.DEFAULT_MODEL,
        search=_model_names,
        search_options={"SUGGESTION"},
        options=CONSTANT,
    )
    seed_mode: EnumProperty(
        name="Seed",
        description="What each clip's noise is drawn from",
        items=[
            ("FIXED", "Fixed", "The same seed each time, which gives the same clip again"),
            ("RANDOM", "Random", "A new seed for each clip; the clip's strip remembers it"),
        ],
        options=CONSTANT,
    )
    seed: IntProperty(
        name="Seed",
        description="The same seed gives the same clip again",
        default=0,
        min=0,
        options=CONSTANT,
    )
    num_inference_steps: IntProperty(
        name="Steps",
        description="Denoising steps, 0 for the model's own number",
        default=0,
        min=0,
        max=300,
        soft_max=100,
        options=CONSTANT,
    )
    guidance_scale: FloatProperty(
        name="Guidance",
        description="How closely the clip follows the prompt, 0 for the model's own value",
        default=0.0,
        min=0.0,
        soft_max=20.0,
        options=CONSTANT,
    )
    method: EnumProperty(
        name="Method",
        description="How the masks of the subjects act",
        items=METHODS,
        options=CONSTANT,
    )
    masked_steps: IntProperty(
        name="Masked Steps",
        description="Denoising steps in which subjects are held in place, -1 as the method has it",
        default=-1,
        min=-1,
        soft_max=100,
        options=CONSTANT,
    )
    blocks: EnumProperty(
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
    )
    special_tokens: EnumProperty(
        name="Special Tokens",
        description="Who sees the start, end and padding tokens of the prompt",
        items=[
            ("background", "Background", "Only what belongs to no subject"),
            ("released", "As Released", "The background sees end and padding, nobody sees the start"),
            ("shared", "Shared", "Everybody"),
        ],
        options=CONSTANT,
    )
    gate_second_temporal: BoolProperty(
        name="Gate Second Temporal",
        description="Also mask the second temporal attention, as the paper's released code does",
        default=False,
        options=CONSTANT,
    )
    occluded_by_scene: BoolProperty(
        name="Occluded by Scene",
        description="Objects of the scene that are no subjects hide what is behind them",
        default=False,
        options=CONSTANT,
    )
    motion_blur: BoolProperty(
        name="Motion Blur",
        description="Subjects take all the room that they pass through while the render's shutter is open",
        default=False,
        options=CONSTANT,
    )
    output_folder: StringProperty(
        name="Output Folder",
        description="Where clips go",
        subtype="DIR_PATH",
        default="//peekaboo/",
        options=compat.folder_options(),
    )


_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (PEEKABOO_PG_subject, PEEKABOO_PG_shot)
)


def register():
    """Give objects and scenes their ``peekaboo`` settings."""
    _register_classes()
    bpy.types.Object.peekaboo = PointerProperty(type=PEEKABOO_PG_subject)
    bpy.types.Scene.peekaboo = PointerProperty(type=PEEKABOO_PG_shot)


def unregister():
    """Take the settings away; what a file has stored stays in it."""
    del bpy.types.Scene.peekaboo
    del bpy.types.Object.peekaboo
    _unregister_classes()
