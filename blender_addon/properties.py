# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user sets: a subject on an object, a shot on a scene; the settings are those of the table."""

import bpy
from bpy.props import IntProperty, PointerProperty

from .shot import settings, subjects


def _active_index(shot):
    """Index of the active object among the scene's, so that the list and the viewport select the same."""
    active = bpy.context.view_layer.objects.active if bpy.context.view_layer else None
    return -1 if active is None else shot.id_data.objects.find(active.name)


def _select_by_index(shot, index):
    obj = shot.id_data.objects[index]
    if bpy.context.mode == "OBJECT" and bpy.context.view_layer.objects.get(obj.name) == obj:
        subjects.select_only(bpy.context.view_layer, obj)


class PEEKABOO_PG_subject(bpy.types.PropertyGroup):
    """What an object stands for in the clip."""

    __annotations__ = settings.properties(settings.SUBJECT)


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
        **settings.properties(settings.SHOT),
    }


_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (PEEKABOO_PG_subject, PEEKABOO_PG_shot)
)


def register():
    """Give objects and scenes their ``peekaboo`` settings."""
    _register_classes()
    bpy.types.Object.peekaboo = PointerProperty(type=PEEKABOO_PG_subject, override=settings.IN_OVERRIDES)
    bpy.types.Scene.peekaboo = PointerProperty(type=PEEKABOO_PG_shot)


def unregister():
    """Take the settings away; what a file has stored stays in it."""
    del bpy.types.Scene.peekaboo
    del bpy.types.Object.peekaboo
    _unregister_classes()
