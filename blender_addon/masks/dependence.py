# SPDX-License-Identifier: GPL-3.0-or-later
"""What data of a file depends on other data, as far as surfaces and places go.

A dependency graph has too much for that: all rigid bodies of a scene, and what a viewport draws bones as.
"""

from __future__ import annotations

from collections.abc import Iterable

import bpy

from .. import compat

POINTING = {f"NodeSocket{kind}" for kind in ("Object", "Collection", "Image", "Texture")}
"""Types of inputs of nodes that are other data."""
SWITCHES = (".mute", ".enabled", ".show_render")
"""Ends of the paths by which modifiers and constraints are turned on and off."""
LOOKS = {"MATERIAL", "WORLD", "LIGHT", "LINESTYLE", "BRUSH", "SCREEN", "WINDOWMANAGER", "WORKSPACE"}
"""Types of users of data on which no surface and no place depends."""


def dependents(blocks: Iterable) -> dict:
    """Find what depends on data, by whatever way: parents, constraints, modifiers, nodes, drivers, instances.

    Args:
        blocks: original data.

    Returns:
        The data itself and all that depends on it, each with the one of ``blocks`` that it does depend on.
    """
    found = {block: block for block in blocks}
    if not found:
        return found
    users, waiting, idle = bpy.data.user_map(), list(found), {}
    while waiting:
        used = waiting.pop()
        for user in users.get(used, ()):
            if user in found:
                continue
            if user not in idle:
                idle[user] = _pointed_at(user, False)
            if not _is_free_of(user, used, idle[user]):
                found[user] = found[used]
                waiting.append(user)
    return found


def _is_free_of(user, used, idle: set) -> bool:
    """Whether surfaces and places of a user do not depend on what it uses, in part for nothing."""
    if user.id_type == "SCENE":  # whose own properties drivers may read
        return used.id_type != "ACTION"
    if user.id_type == "NODETREE" and user.type != "GEOMETRY":
        return True
    if user.override_library is not None and used == user.override_library.reference:
        return True  # the file itself keeps what an override has
    return user.id_type in LOOKS or (used in idle and used not in _pointed_at(user, True))


def _pointed_at(user, counts: bool) -> set:
    """What parts of a user point at: those that count for its surface and place, or those that do not.

    Of those that count only such as may point at what the others do.
    """
    parts: list = [curve.driver for curve in _drivers(user) if curve.mute != counts]
    found: set = set()
    if user.id_type == "CAMERA" and not counts:
        parts += [user.dof, *user.background_images]
    if user.id_type == "OBJECT":
        bones = user.pose.bones if user.pose is not None else ()
        stacks = [user.constraints, *(bone.constraints for bone in bones)]
        is_fixed = not _is_switched(user)
        parts += [one for one in user.modifiers if (is_fixed and not one.show_render) != counts]
        parts += [one for stack in stacks for one in stack if (is_fixed and one.mute) != counts]
        if counts:
            found |= {user.parent, user.data, user.instance_collection}
        else:
            parts.append(user.light_linking)
            found |= {bone.custom_shape for bone in bones}
    return found.union(*map(_pointers, parts))


def _drivers(user) -> list:
    animation = getattr(user, "animation_data", None)
    return [] if animation is None else list(animation.drivers)


def _is_switched(obj) -> bool:
    """Whether modifiers or constraints of an object may be turned on and off by its animation."""
    animation = obj.animation_data
    if animation is None:
        return False
    paths = [curve.data_path for curve in [*compat.fcurves(obj), *animation.drivers]]
    return len(animation.nla_tracks) > 0 or any(path.endswith(SWITCHES) for path in paths)


def _pointers(part) -> set:
    """The data that a part of other data points at, and what is in it."""
    found: set = set()
    for prop in part.bl_rna.properties:
        if prop.identifier == "rna_type" or prop.type not in {"POINTER", "COLLECTION"}:
            continue
        value = getattr(part, prop.identifier)
        if isinstance(value, bpy.types.ID):
            found.add(value)
        elif prop.type == "POINTER" and value is not None:
            found |= _pointers(value)
        elif prop.identifier in {"targets", "variables"}:  # of constraints and drivers
            found = found.union(*map(_pointers, value))
    if isinstance(part, bpy.types.NodesModifier) and part.node_group is not None:
        for item in part.node_group.interface.items_tree:
            if getattr(item, "in_out", "") == "INPUT" and item.socket_type in POINTING:
                found.add(compat.NodesInput(part, item.identifier).value)
    return found
