# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user sets: a subject on an object, a shot on a scene, or what it has for itself on a marker.

The settings are those of the table.
"""

from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from . import compat
from .errors import PeekabooError
from .shot import loras, settings, shots, subjects, timed_phrases


def _active_index(shot):
    """Index of the active object among the scene's, so that the list and the viewport select the same."""
    active = bpy.context.view_layer.objects.active if bpy.context.view_layer else None
    return -1 if active is None else shot.id_data.objects.find(active.name)


def _select_by_index(shot, index):
    obj = shot.id_data.objects[index]
    if bpy.context.mode == "OBJECT" and bpy.context.view_layer.objects.get(obj.name) == obj:
        subjects.select_only(bpy.context.view_layer, obj)


def _shot_at_frame(shot):
    """Index of the marker whose shot has the current frame, so that the list and the playhead are at one."""
    scene = shot.id_data
    try:
        marker = shots.shot_at(scene, scene.frame_current).marker
    except PeekabooError:
        return -1
    return -1 if marker is None else marker


def _go_to_shot(shot, index):
    scene = shot.id_data
    found = next((one for one in shots.shots_of(scene) if one.marker == index), None)
    if found is not None:
        scene.frame_current = found.first


class PEEKABOO_PG_subject(bpy.types.PropertyGroup):
    """What an object stands for in the clip."""

    __annotations__ = settings.properties(settings.SUBJECT)


class PEEKABOO_PG_cut(bpy.types.PropertyGroup):
    """What the shot that a marker begins has for itself."""

    __annotations__ = settings.properties(settings.CUT)


class PEEKABOO_PG_lora(bpy.types.PropertyGroup):
    """A LoRA in the list of a shot."""

    enabled: BoolProperty(
        name="Enabled", description="Use this LoRA", default=True, options=settings.CONSTANT
    )
    source: StringProperty(
        name="File",
        description="A .safetensors file, or owner/name/file.safetensors of a repository",
        subtype="FILE_PATH",
        options=compat.folder_options(),
    )
    weight: FloatProperty(
        name="Weight",
        description="How strongly it acts",
        default=1.0,
        min=-loras.MOST_WEIGHT,
        max=loras.MOST_WEIGHT,
        soft_min=0.0,
        soft_max=2.0,
        options=settings.CONSTANT,
    )
    expert: EnumProperty(
        name="Expert",
        description="Which denoiser it is for, of a model that has two, such as Wan 2.2",
        items=[
            ("both", "Both", "The only denoiser, or both"),
            ("high", "High Noise", "The one of the first steps"),
            ("low", "Low Noise", "The one of the last steps"),
        ],
        options=settings.CONSTANT,
    )
    distils: BoolProperty(
        name="Distils",
        description="It is what makes few steps possible; a guided head leaves it off",
        default=False,
        options=settings.CONSTANT,
    )


class PEEKABOO_PG_timed_phrase(bpy.types.PropertyGroup):
    """Words of the prompt that some frames of a scene alone read."""

    enabled: BoolProperty(
        name="Enabled",
        description="Show these words in their frames alone; otherwise they count in all",
        default=True,
        options=settings.CONSTANT,
    )
    from_markers: BoolProperty(
        name="From Markers",
        description="The markers say this: From Markers takes it again, as they are then",
        default=False,
        options=settings.CONSTANT,
    )
    phrase: StringProperty(
        name="Phrase", description="Words of the prompt, as they stand there", options=settings.AS_TYPED
    )
    frame_start: IntProperty(
        name="From",
        description="First frame that shows them",
        default=1,
        min=-timed_phrases.FURTHEST,
        max=timed_phrases.FURTHEST,
        options=settings.CONSTANT,
    )
    frame_end: IntProperty(
        name="To",
        description="Last frame that shows them",
        default=250,
        min=-timed_phrases.FURTHEST,
        max=timed_phrases.FURTHEST,
        options=settings.CONSTANT,
    )
    fade: FloatProperty(
        name="Fade",
        description="Over how many frames before and after they come and go; 0 is at once",
        default=0.0,
        min=0.0,
        max=timed_phrases.LONGEST_FADE,
        soft_max=48.0,
        precision=1,
        options=settings.CONSTANT,
    )


class PEEKABOO_PG_shot(bpy.types.PropertyGroup):
    """How a scene becomes a clip; where a setting has an "auto" value, the model's own default is used."""

    __annotations__ = {
        "active_subject": IntProperty(
            name="Active Subject",
            description="The active object, as an index of the scene's objects",
            get=_active_index,
            set=_select_by_index,
            options={"SKIP_SAVE"},
        ),
        "active_shot": IntProperty(
            name="Active Shot",
            description="The shot at the current frame, as an index of the scene's markers",
            get=_shot_at_frame,
            set=_go_to_shot,
            options={"SKIP_SAVE"},
        ),
        "lora_list": CollectionProperty(
            type=PEEKABOO_PG_lora,
            name="List of LoRAs",
            description="Small weights on top of the model's",
            options=settings.CONSTANT,
        ),
        "timed_phrases": CollectionProperty(
            type=PEEKABOO_PG_timed_phrase,
            name="Phrases Over Time",
            description="Words of the prompt that some frames alone show",
            options=settings.CONSTANT,
        ),
        "takes_scene": PointerProperty(
            type=bpy.types.Scene,
            name="Scene of the Takes",
            description="Whose sequencer has the takes of this one, where that is not its own",
        ),
        "takes_of": PointerProperty(
            type=bpy.types.Scene,
            name="Takes Of",
            description="The scene that the takes in the sequencer of this one are of",
        ),
        **settings.properties(settings.SHOT),
    }


_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (PEEKABOO_PG_subject, PEEKABOO_PG_cut, PEEKABOO_PG_lora, PEEKABOO_PG_timed_phrase, PEEKABOO_PG_shot)
)


@persistent
def _before_saving(*_arguments) -> None:
    """Let each setting of a library override be saved for itself.

    Where the linked object has no settings yet, Blender 5 saves all of them as one, and loses them if the
    file was last saved by Blender 4. To look at them makes the linked object have some.
    """
    objects: Any = bpy.data.objects
    for override in [obj.override_library for obj in objects if obj.override_library]:
        _ = override.reference and override.reference.peekaboo.is_subject


def register():
    """Give objects, scenes and markers their ``peekaboo`` settings."""
    _register_classes()
    bpy.types.Object.peekaboo = PointerProperty(type=PEEKABOO_PG_subject, override=settings.IN_OVERRIDES)
    bpy.types.Scene.peekaboo = PointerProperty(type=PEEKABOO_PG_shot)
    bpy.types.TimelineMarker.peekaboo = PointerProperty(type=PEEKABOO_PG_cut)
    bpy.app.handlers.save_pre.append(_before_saving)


def unregister():
    """Take the settings away; what a file has stored stays in it."""
    bpy.app.handlers.save_pre.remove(_before_saving)
    del bpy.types.TimelineMarker.peekaboo
    del bpy.types.Scene.peekaboo
    del bpy.types.Object.peekaboo
    _unregister_classes()
