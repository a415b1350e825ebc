# SPDX-License-Identifier: GPL-3.0-or-later
"""What a render of a scene shows, and which of it is seen for which subject."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .. import compat
from .unfollowed import KINDS

SURFACED = {"MESH", "CURVE", "SURFACE", "META", "FONT"}
"""Types of objects that a render shows the surface of."""
SHOWN = SURFACED | KINDS.keys()
"""Types of objects that a render shows."""
ON_ELEMENTS = {"VERTS", "FACES"}
"""Ways to instance that show an object's children at its vertices or faces, and not where they are."""


@dataclass(frozen=True)
class Role:
    """What one label of a map shows: objects marked as one thing; :class:`Cast` says who plays it."""

    objects: tuple

    @property
    def name(self) -> str:
        """Of the first object."""
        return self.objects[0].name


def names_of(roles: Sequence[Role]) -> list[str]:
    """A name for each role, no two the same: with its file, where a linked object has the name of another."""
    names = [role.name for role in roles]
    return [role.objects[0].name_full if names.count(role.name) > 1 else role.name for role in roles]


class Rendered(NamedTuple):
    """What a render of a scene holds: objects that it shows, and others that only cut holes into it."""

    shown: set
    held_out: set


def rendered_objects(scene, update: bool = True) -> set:
    """The objects that a camera meets in a render of the scene, if they themselves are not hidden from it.

    Args:
        scene: the user's; the objects of its background set are among them.
        update: see also what a script has just linked; not allowed while Blender draws.
    """
    rendered = render_parts(scene, update)
    return rendered.shown | rendered.held_out


def shown_objects(scene, update: bool = True) -> set:
    """Those of :func:`rendered_objects` that are not held out of the picture."""
    return render_parts(scene, update).shown


def render_parts(scene, update: bool = True) -> Rendered:
    """What a render of a scene holds; ``update`` as for :func:`rendered_objects`."""
    shown: set = set()
    held_out: set = set()
    catches = scene.render.engine == "CYCLES"  # others show such objects as they are
    for collection, holdout in _rendered_collections(scene, update):
        for obj in collection.objects:
            only_hides = holdout or obj.is_holdout or (catches and obj.is_shadow_catcher)
            (held_out if only_hides else shown).add(obj)
    return Rendered(shown, held_out - shown)


def rendered_collections(scene) -> list:
    """The collections whose objects a camera meets in a render of a scene, of its background set too."""
    return list(dict.fromkeys(collection for collection, _ in _rendered_collections(scene, True)))


def _rendered_collections(scene, update: bool) -> Iterator[tuple[Any, bool]]:
    """Those collections, and whether they are held out of the picture."""

    def those_in(layer_collection, holdout: bool) -> Iterator[tuple[Any, bool]]:
        if layer_collection.exclude or layer_collection.collection.hide_render:
            return
        holdout = holdout or layer_collection.holdout
        if not layer_collection.indirect_only:
            yield layer_collection.collection, holdout
        for child in layer_collection.children:
            yield from those_in(child, holdout)

    layers = [layer for layer in scene.view_layers if layer.use]
    for background in background_sets(scene):
        used = [layer for layer in background.view_layers if layer.use]
        layers += (used or list(background.view_layers))[:1]  # as Blender does
    for layer in layers:
        if update:
            layer.update()  # a collection that a script has just linked is not there before
        yield from those_in(layer.layer_collection, False)


def background_sets(scene) -> list:
    """The scenes whose objects a render of a scene shows beside its own."""
    found: list = []
    while (scene := scene.background_set) is not None and scene not in found:
        found.append(scene)
    return found


class Cast:
    """Which objects are seen, and for which subject.

    An object that is marked as a subject stands for itself, for its children and parts and, an armature, for
    what it deforms, unless they are subjects themselves. An empty stands for what Blender draws of it, but
    where it instances a collection, or has children that a render shows, it stands for those alone.

    Attributes:
        scene: the user's.
        roles: label k is ``roles[k - 1]``.
        owners: the marked object that each object whose surface counts is seen for.
        marked: all objects that are marked as one of the subjects.
        drawn: empties that stand for what Blender draws of them, and the marked object each is seen for.
        objects: all that has to be evaluated, as keys.
    """

    def __init__(self, scene, roles: Sequence[Role], update: bool = True):
        """Find out who is seen in a scene; ``update`` as for :func:`rendered_objects`."""
        self.scene = scene
        self.roles = tuple(roles)
        self.marked = [obj for role in roles for obj in role.objects]
        shown = shown_objects(scene, update)
        waiting = set(self.marked)
        self.owners = {
            obj: owner
            for obj in shown
            if obj.type in SHOWN or _instances_collection(obj)
            if (owner := _owner(obj, waiting)) is not None
        }
        # Of metaballs with one name but for the number, the first has the surface of all
        families = {
            _family(obj): owner for obj, owner in sorted(self.owners.items(), key=_by_name) if _is_ball(obj)
        }
        self.owners |= {
            obj: families[_family(obj)] for obj in shown if _is_ball(obj) and _family(obj) in families
        }
        owning = set(self.owners.values())
        self.drawn = {obj: obj for obj in self.marked if obj.type == "EMPTY" and obj not in owning}
        for obj in shown:
            whole = obj.peekaboo.part_of
            if obj.type == "EMPTY" and obj not in self.owners and obj not in waiting and whole in waiting:
                self.drawn[obj] = whole
        parents = {obj.parent for obj in self.owners} & shown
        instancers = [parent for parent in parents if parent.instance_type in ON_ELEMENTS]
        self.objects = dict.fromkeys([*self.marked, *self.owners, *self.drawn, *instancers])

    def owner_of(self, instance):
        """The marked object that a depsgraph's instance is seen for; None for one that is no subject's.

        What an object instances is its own, unless it shows its children, which are their own.
        """
        obj = instance.object.original
        if not instance.is_instance:
            return self.owners.get(obj)
        instancer = instance.parent.original
        if instancer.instance_type in ON_ELEMENTS and obj in self.owners:
            return self.owners[obj]
        return self.owners.get(instancer)


def may_show(obj) -> bool:
    """Whether a render may show something of an object at some time, or nobody knows what it would be."""
    if obj.is_missing:
        return True
    if obj.hide_render and not _is_hidden_at_times(obj):
        return False
    return obj.type in SHOWN or obj.instance_type != "NONE"


def _is_hidden_at_times(obj) -> bool:
    animation = obj.animation_data
    if animation is None:
        return False
    curves = [*compat.fcurves(obj), *animation.drivers]
    return len(animation.nla_tracks) > 0 or any(curve.data_path == "hide_render" for curve in curves)


def _instances_collection(obj) -> bool:
    return obj.type == "EMPTY" and obj.instance_type == "COLLECTION"


def _owner(obj, marked: set):
    """The nearest of the marked objects: the object, what it is a part of, deformed by, or a child of."""
    waiting, seen = [obj], set()
    while waiting:
        one = waiting.pop(0)
        if one in marked:
            return one
        seen.add(one)
        above = [one.peekaboo.part_of, *armatures_of(one), one.parent]
        waiting += [other for other in above if other is not None and other not in seen]
    return None


def armatures_of(obj) -> list:
    """The armatures that deform an object."""
    rigs = (modifier.object for modifier in obj.modifiers if modifier.type == "ARMATURE")
    return [rig for rig in rigs if rig is not None]


def _is_ball(obj) -> bool:
    return obj.type == "META"


def _family(obj) -> str:
    """The name of a metaball without its number: as Blender groups them."""
    name, dot, number = obj.name.rpartition(".")
    return name if dot and number.isdecimal() else obj.name


def _by_name(item: tuple) -> str:
    return item[0].name
