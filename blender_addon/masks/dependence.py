# SPDX-License-Identifier: GPL-3.0-or-later
"""What data of a file depends on other data, as far as surfaces and places go.

A dependency graph has too much for that: all rigid bodies of a scene, and what a viewport draws bones as.
"""

from __future__ import annotations

from collections.abc import Iterable

import bpy

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
    users, waiting = bpy.data.user_map(), list(found)
    while waiting:
        used = waiting.pop()
        for user in users.get(used, ()):
            if user not in found and not _is_free_of(user, used):
                found[user] = found[used]
                waiting.append(user)
    return found


def _is_free_of(user, used) -> bool:
    """Whether surfaces and places of a user do not depend on what it uses."""
    if user.id_type == "SCENE":  # whose own properties drivers may read
        return used.id_type != "ACTION"
    if user.id_type == "NODETREE":
        return user.type != "GEOMETRY"
    if user.override_library is not None and used == user.override_library.reference:
        return True  # the file itself keeps what an override has
    if used.id_type == "OBJECT" and user.id_type == "OBJECT" and user.pose is not None:
        return user.parent != used and any(bone.custom_shape == used for bone in user.pose.bones)
    return user.id_type in LOOKS
