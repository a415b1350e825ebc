# SPDX-License-Identifier: GPL-3.0-or-later
"""The files and folders that a .blend links: which there are, where they lie, and whether they are there.

Blender knows most of them (``bpy.utils.blend_paths``), but not whose they are, and so not whether masks
depend on one; and not those of external point caches, of nodes that import or keep bakes, and of layers of
cache files. These it leaves as they are, too, where it saves a copy of a .blend elsewhere.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import bpy

from .. import compat, paths
from ..borders import places

SHAPES = ("libraries", "cache_files", "volumes", "fonts")
"""Collections of what decides the masks where it lies in files of its own."""
LOOKS = ("images", "movieclips")
"""Collections of what decides how a rendered first frame looks; masks, where objects themselves use it."""
TILES = {"<UDIM>": r"\d{4}", "<UVTILE>": r"u\d+_v\d+"}
"""What stands in the name of an image for the number of a tile, and such numbers."""
CACHE = "blendcache_"
"""What the folder is called in which Blender keeps simulations beside a .blend, before its name."""
FILE_SOCKET = "NodeSocketStringFilePath"


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a .blend has of a file, of many under one name, or of a folder.

    Attributes:
        is_shape: whether the masks depend on it.
        is_sequence: whether it is a frame of many, whose names differ by its number.
        prefix: what the names of its files begin with, if it is a folder; None for a file.
        is_needed: whether Blender has nothing in its place.
        of: what uses it, in words; empty where the path says enough.
    """

    is_shape: bool
    is_sequence: bool = False
    prefix: str | None = None
    is_needed: bool = True
    of: str = ""


@dataclass(frozen=True)
class Linked(Use):
    """What a .blend links.

    Attributes:
        path: of it, on this machine.
    """

    path: Path

    @property
    def is_there(self) -> bool:
        """Whether anything of it is there."""
        if self.prefix is None:
            return bool(self.files())
        names = (name for _, _, names in os.walk(self.path) for name in names)
        return any(name.startswith(self.prefix) for name in names)

    @property
    def is_missing(self) -> bool:
        """Whether nothing of it is there, although it is needed."""
        return self.is_needed and not self.is_there

    def files(self) -> list[Path]:
        """The file, or all those of a sequence or of tiles, that are there; none of a folder."""
        if self.prefix is not None:
            return []
        pattern = re.escape(self.path.name)
        for tile, numbers in TILES.items():
            pattern = pattern.replace(re.escape(tile), numbers)
        if self.is_sequence:
            pattern = re.sub(r"\d+(?=[^\d.]*\\\.\w+$)", lambda _: r"\d+", pattern)
        if pattern == re.escape(self.path.name):
            return [self.path] if self.path.exists() else []
        with suppress(OSError):
            return sorted(path for path in self.path.parent.iterdir() if re.fullmatch(pattern, path.name))
        return []


@dataclass(frozen=True)
class Stated(Use):
    """A property that has the path of a file or a folder; ``of`` is of it alone if it is not restated.

    Attributes:
        owner: that has it.
        name: of the property.
        block: the data-block of the owner.
        is_restated: whether Blender restates it in a copy that it saves elsewhere.
    """

    owner: Any
    name: str
    block: Any
    is_restated: bool = field(default=True, kw_only=True)

    @property
    def path(self) -> str:
        """As it is stated."""
        return getattr(self.owner, self.name)

    def state(self, path: str) -> None:
        """Let it be another path."""
        setattr(self.owner, self.name, path)

    def linked(self) -> Linked:
        """What lies there."""
        library = None if isinstance(self.block, bpy.types.Library) else self.block.library
        where = paths.absolute(bpy.path.abspath(self.path, library=library))
        whole = Path(os.path.normpath(where))
        return Linked(whole, **{each.name: getattr(self, each.name) for each in fields(Use)})


def linked_files() -> list[Linked]:
    """The files and folders that the open .blend links, but for what lies in its sequencers."""
    found: dict[tuple[Path, str | None], Linked] = {}
    for each in [*(stated.linked() for stated in stated_paths()), *_disk_caches()]:
        known = found.setdefault((each.path, each.prefix), each)
        if each.is_shape and not known.is_shape:
            found[each.path, each.prefix] = each
    known_paths = {path for path, _ in found} | _paths_elsewhere()
    for path in map(Path, map(os.path.normpath, bpy.utils.blend_paths(absolute=True))):
        if path not in known_paths and path.is_absolute() and not places.is_folder(path):
            found.setdefault((path, None), Linked(path, is_shape=False))
    return list(found.values())


def in_words(files: Sequence[Linked]) -> str:
    """The names of files that are not there, as a part of a sentence."""
    named = ", ".join(f'"{each.path}"{f" ({each.of})" * bool(each.of)}' for each in files[:MOST_NAMED])
    more = len(files) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


MOST_NAMED = 8
"""Missing files that a sentence lists."""


def stated_paths() -> Iterator[Stated]:
    """The properties of the open .blend that have paths, its libraries' included; sequencers have others.

    No two say alike what they are of: inputs of one name, and a modifier with several caches, have a number.
    """
    seen: Counter[str] = Counter()
    for stated in _stated_paths():
        seen[stated.of] += 1
        number = seen[stated.of]
        yield replace(stated, of=f"{stated.of}, {number}") if stated.of and number > 1 else stated


def _stated_paths() -> Iterator[Stated]:
    shaping = _shaping_pictures()
    for name in (*SHAPES, *LOOKS):
        for item in getattr(bpy.data, name):
            if not item.filepath or item.filepath == "<builtin>" or getattr(item, "packed_file", None):
                continue
            if name == "libraries" and compat.is_packed_library(item):
                continue
            if getattr(item, "source", "FILE") in {"GENERATED", "VIEWER"}:
                continue
            sequence = getattr(item, "is_sequence", False) or getattr(item, "source", "") == "SEQUENCE"
            is_shape = name in SHAPES or item in shaping
            yield Stated(item, "filepath", item, is_shape=is_shape, is_sequence=sequence)
    for file in bpy.data.cache_files:
        for number, layer in enumerate(file.layers):
            of = f'layer {number} of the cache file "{file.name_full}"'
            yield Stated(
                layer,
                "filepath",
                file,
                is_shape=True,
                is_sequence=file.is_sequence,
                of=of,
                is_restated=False,
            )
    for obj in bpy.data.objects:
        for modifier in obj.modifiers:
            yield from _of_modifier(obj, modifier)
    for tree in bpy.data.node_groups:
        if tree.type == "GEOMETRY":
            yield from _of_nodes(tree)
    for block, cache, kind in _point_caches():
        if cache.use_external and cache.filepath:
            of = f'{kind} of "{block.name_full}"'
            prefix = f"{cache.name}_"
            yield Stated(cache, "filepath", block, is_shape=True, prefix=prefix, of=of, is_restated=False)


def _of_modifier(obj, modifier) -> Iterator[Stated]:
    of = f'modifier "{modifier.name}" of "{obj.name_full}"'
    match modifier.type:
        case "MESH_CACHE" if modifier.filepath:
            yield Stated(modifier, "filepath", obj, is_shape=True, of=of)
        case "OCEAN" if modifier.is_cached:
            yield Stated(modifier, "filepath", obj, is_shape=True, prefix="", of=of)
        case "FLUID" if modifier.fluid_type == "DOMAIN":
            domain = modifier.domain_settings
            baked = domain.has_cache_baked_any
            yield Stated(domain, "cache_directory", obj, is_shape=True, prefix="", is_needed=baked, of=of)
        case "NODES" if modifier.node_group:
            yield from _of_bakes(obj, modifier, of)
            for item in modifier.node_group.interface.items_tree:
                if getattr(item, "in_out", "") == "INPUT" and getattr(item, "subtype", "") == "FILE_PATH":
                    value = compat.NodesInput(modifier, item.identifier)
                    if value.value:
                        name = f'input "{item.name}" of {of}'
                        yield Stated(value, "value", obj, is_shape=True, of=name, is_restated=False)


def _of_bakes(obj, modifier, of: str) -> Iterator[Stated]:
    """The folders of bakes, which Blender does without where there are none: it computes what they keep."""
    own = [bake for bake in modifier.bakes if not compat.is_packed_bake(modifier, bake)]
    as_bake: dict[str, Any] = {"is_shape": True, "prefix": "", "is_needed": False, "is_restated": False}
    if modifier.bake_directory and any(not bake.use_custom_path for bake in own):
        yield Stated(modifier, "bake_directory", obj, of=f"bakes of {of}", **as_bake)
    for bake in own:
        if bake.use_custom_path and bake.directory:
            name = f"bake {bake.bake_id} of {of}"
            yield Stated(bake, "directory", obj, of=name, **as_bake)


def _of_nodes(tree) -> Iterator[Stated]:
    """Paths that nodes have at sockets to which no other one gives them."""
    for node in tree.nodes:
        for socket in node.inputs:
            if socket.bl_idname == FILE_SOCKET and not socket.is_linked and socket.default_value:
                of = f'input "{socket.name}" of node "{node.name}" of "{tree.name_full}"'
                yield Stated(socket, "default_value", tree, is_shape=True, of=of, is_restated=False)


def _point_caches() -> Iterator[tuple[Any, bpy.types.PointCache, str]]:
    """All point caches, with the data-block that has each and what it is of."""
    for obj in bpy.data.objects:
        for modifier in obj.modifiers:
            for cache in _caches_of(modifier):
                yield obj, cache, f'cache of modifier "{modifier.name}"'
    for scene in bpy.data.scenes:
        if scene.rigidbody_world is not None and scene.rigidbody_world.point_cache is not None:
            yield scene, scene.rigidbody_world.point_cache, "rigid bodies"


def _caches_of(modifier) -> list[bpy.types.PointCache]:
    match modifier.type:
        case "CLOTH" | "SOFT_BODY":
            return [modifier.point_cache]
        case "DYNAMIC_PAINT" if modifier.canvas_settings:
            return [surface.point_cache for surface in modifier.canvas_settings.canvas_surfaces]
        case "PARTICLE_SYSTEM":
            particles = modifier.particle_system
            hair = [particles.cloth.point_cache] if particles.use_hair_dynamics and particles.cloth else []
            return [particles.point_cache, *hair]
    return []


def _disk_caches() -> Iterator[Linked]:
    """Bakes of point caches in the folder that Blender has for them beside a .blend, or beside a library.

    Files are called by the cache, or else by the data-block's name in hexadecimal digits
    (``ptcache_filename``, ``source/blender/blenkernel/intern/pointcache.cc``).
    """
    for block, cache, kind in _point_caches():
        if cache.use_disk_cache and not cache.use_external and cache.is_baked:
            name = cache.name or "".join(f"{byte:02X}" for byte in block.name.encode())
            own = block.library is None or not cache.use_library_path
            source = bpy.data.filepath if own else block.library.filepath
            folder = cache_of(Path(os.path.normpath(bpy.path.abspath(source))))
            yield Linked(folder, is_shape=True, prefix=f"{name}_", of=f'{kind} of "{block.name_full}"')


def cache_of(blend: Path) -> Path:
    """The folder in which Blender keeps simulations beside a .blend."""
    return blend.with_name(f"{CACHE}{blend.stem}")


def own_cache(blend: Path) -> Path | None:
    """That folder, if it is there and no link."""
    cache = cache_of(blend)
    return cache if places.is_folder(cache) and not places.is_link(cache) else None


def writes_caches() -> bool:
    """Whether simulations that are not baked keep their frames in files while the open file is played."""
    fluids = (
        modifier.domain_settings
        for obj in bpy.data.objects
        for modifier in obj.modifiers
        if isinstance(modifier, bpy.types.FluidModifier) and modifier.fluid_type == "DOMAIN"
    )
    return any(not domain.has_cache_baked_any for domain in fluids) or any(
        cache.use_disk_cache and not cache.use_external and not cache.is_baked
        for _, cache, _ in _point_caches()
    )


def _shaping_pictures() -> set[Any]:
    """Images and clips that objects, geometry nodes, or textures that these use need: they shape what is
    seen."""
    pictures = {*bpy.data.images, *bpy.data.movieclips}
    users: dict[Any, set[Any]] = bpy.data.user_map(subset={*pictures, *bpy.data.textures})
    shaping = (bpy.types.Object, bpy.types.ParticleSettings, bpy.types.GeometryNodeTree)
    textures = {
        texture for texture in bpy.data.textures if any(isinstance(user, shaping) for user in users[texture])
    }
    return {
        picture
        for picture in pictures
        if any(isinstance(user, shaping) or user in textures for user in users[picture])
    }


def _paths_elsewhere() -> set[Path]:
    """What no task reads: sounds, the files of texts, and what lies in sequencers."""
    found = [
        (item.filepath, item.library) for name in ("sounds", "texts") for item in getattr(bpy.data, name)
    ]
    for scene in bpy.data.scenes:
        for strip in compat.all_strips(scene.sequence_editor) if scene.sequence_editor else ():
            if strip.type == "MOVIE":
                found.append((strip.filepath, scene.library))
            elif strip.type == "IMAGE":
                found += [(f"{strip.directory}/{each.filename}", scene.library) for each in strip.elements]
    return {
        Path(os.path.normpath(paths.absolute(bpy.path.abspath(path, library=library))))
        for path, library in found
        if path
    }
