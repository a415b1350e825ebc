# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene links and the other file does not have.

Blender puts an empty placeholder in its place, an action without curves, a mesh without vertices, and renders
the scene as if nothing were wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import bpy

from .. import paths
from ..borders import places
from ..errors import PeekabooError
from .dependence import dependents

BEARING = (
    *("objects", "meshes", "curves", "hair_curves", "metaballs", "fonts", "lattices", "armatures"),
    *("cameras", "collections", "actions", "shape_keys", "node_groups", "particles", "cache_files"),
    *("volumes", "pointclouds", "textures", "images", "movieclips"),
    *("grease_pencils", "grease_pencils_v3"),
)
"""What a shape or a place may depend on; the rest is how things look."""


def check(objects: Iterable, around: Iterable = ()) -> None:
    """Make sure that what objects are seen with is there.

    Args:
        objects: original ones, in the order in which they are spoken of.
        around: collections and scenes that hold objects that are seen.

    Raises:
        PeekabooError: one of all these, or what an object depends on, is not in the file that it is linked
            from.
    """
    needing = dependents(_missing())
    for obj in objects if needing else ():
        if obj in needing:
            raise PeekabooError(_sentence(obj, needing[obj]))
    for block in around:
        if block.is_missing:
            raise PeekabooError(_sentence(block, block))


def unseen(scene) -> list[str]:
    """Names of objects and collections of a scene that are not in the files that they are linked from.

    One that is a subject in its own file is none here.
    """
    blocks = [*scene.objects, *scene.collection.children_recursive]
    return [block.name for block in blocks if block.is_missing]


def _missing() -> Iterator:
    """What is not in the file that it is linked from."""
    if not bpy.data.libraries:
        return
    for name in BEARING:
        for block in getattr(bpy.data, name, ()):  # a type of data that a Blender has not got
            if block.is_missing:
                yield block


def _sentence(obj, block) -> str:
    kind = block.bl_rna.name.lower()
    library = block.library
    path = paths.absolute(bpy.path.abspath(library.filepath))
    what = (
        f'The {kind} "{block.name}" is' if obj == block else f'"{obj.name}" needs the {kind} "{block.name}",'
    )
    why = "that has none of this name" if places.is_file(path) else "there is no such file"
    return (
        f'{what} linked from "{path}", and {why}: bring it back, relocate the library (Outliner ▸ Blender '
        "File), or remove it."
    )
