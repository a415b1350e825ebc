# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulations that subjects move by: which there are, and how their frames come to be known.

What is simulated has a place at a frame only once all frames before have been computed. A bake keeps them.
Where there is none, the scene is played from its first simulated frame on, and Blender's caches then hold the
frames, as they do after the user has played it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import bpy

from .. import compat
from ..errors import PeekabooError
from .dependence import dependents

SOLID_PARTICLES = {"OBJECT", "COLLECTION"}
"""How particles have to be rendered to have a surface."""
SHAPING_PAINT = {"DISPLACE", "WAVE", "WEIGHT"}
"""What dynamic paint has to do to change a surface."""


Turn = tuple[str, int, int]
"""What work is at, how much of that is done, and how much there is."""
T = TypeVar("T")
Turns: TypeAlias = Generator[Turn, None, T]
"""Work that is done a turn at a time, and left where it is closed."""


@dataclass(frozen=True)
class Simulation:
    """One that has not been baked.

    Attributes:
        kind: in words.
        object: name of the object that it moves.
        start: its first frame.
    """

    kind: str
    object: str
    start: int


class UnbakedError(PeekabooError):
    """Frames of simulations are not known; :func:`played` lets them be."""

    def __init__(self, found: list[Simulation]):
        """Name the first of the simulations."""
        self.start = min(simulation.start for simulation in found)
        super().__init__(
            f'The {found[0].kind} of "{found[0].object}" has not been baked, so that where it is at a frame '
            "is not known: bake it first."
        )


def check_bodies(scene, objects: Iterable) -> None:
    """Make sure that no object moves by rigid bodies that have not been baked: they run in their scene only.

    Args:
        scene: the user's.
        objects: of it; what they depend on counts as well.

    Raises:
        PeekabooError: one does.
    """
    world = scene.rigidbody_world
    if world is None or not world.enabled or world.point_cache.is_baked:
        return
    moving = dependents(obj for obj in scene.objects if _is_simulated_body(obj))
    for body in (moving[obj] for obj in objects if obj in moving):
        raise PeekabooError(
            f'The rigid body simulation of "{body.name}" has not been baked: bake the cache of the '
            "scene's rigid body world, or the simulation to keyframes."
        )


def unbaked(scene, objects: Iterable) -> list[Simulation]:
    """Find simulations without a bake, other than of rigid bodies.

    Args:
        scene: the user's.
        objects: original ones.
    """
    return [simulation for obj in objects for simulation in _simulations(scene, obj)]


def _simulations(scene, obj) -> Iterator[Simulation]:
    for modifier in obj.modifiers:
        if not modifier.show_render:
            continue
        if modifier.type == "NODES" and modifier.node_group and _simulates(modifier.node_group, set()):
            yield Simulation("simulation zone", obj.name, _zone_start(scene, modifier))
        for kind, cache in _caches(obj, modifier):
            if not cache.is_baked:
                yield Simulation(kind, obj.name, cache.frame_start)
        if modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
            domain = modifier.domain_settings
            if domain.domain_type == "LIQUID" and domain.use_mesh and not domain.has_cache_baked_mesh:
                yield Simulation("fluid simulation", obj.name, domain.cache_frame_start)


def _caches(obj, modifier) -> Iterator[tuple[str, bpy.types.PointCache]]:
    """The point caches of a modifier that bear on the surface, with what they are of."""
    match modifier.type:
        case "CLOTH":
            yield "cloth simulation", modifier.point_cache
        case "SOFT_BODY":
            yield "soft body simulation", modifier.point_cache
        case "DYNAMIC_PAINT" if modifier.canvas_settings:
            for surface in modifier.canvas_settings.canvas_surfaces:
                if surface.is_active and surface.surface_type in SHAPING_PAINT:
                    yield "dynamic paint", surface.point_cache
        case "PARTICLE_SYSTEM":
            particles = modifier.particle_system
            settings = particles.settings
            explodes = any(other.type == "EXPLODE" for other in obj.modifiers)
            if settings.render_type not in SOLID_PARTICLES and not explodes:
                return
            if settings.type == "EMITTER" and settings.physics_type not in {"NO", "KEYED"}:
                yield "particle system", particles.point_cache
            elif settings.type == "HAIR" and particles.use_hair_dynamics:
                yield "hair simulation", particles.cloth.point_cache


def _is_simulated_body(obj) -> bool:
    """Whether a rigid body moves by its simulation and not by its keyframes, at least at times."""
    body = obj.rigid_body
    if body is None or body.type != "ACTIVE":
        return False
    if not body.enabled and obj.animation_data is None and obj.parent is None and not obj.constraints:
        return False  # stands where it is; from what moves it otherwise the simulation would keep it
    return not body.kinematic or any(
        curve.data_path == "rigid_body.kinematic" for curve in compat.fcurves(obj)
    )


def _simulates(group, seen: set) -> bool:
    """Whether geometry nodes have a simulation zone, or groups in them do."""
    if group in seen:
        return False
    seen.add(group)
    return any(
        node.bl_idname == "GeometryNodeSimulationOutput"
        or (node.type == "GROUP" and node.node_tree is not None and _simulates(node.node_tree, seen))
        for node in group.nodes
    )


def _zone_start(scene, modifier) -> int:
    ranges = [bake.frame_start for bake in modifier.bakes if bake.use_custom_simulation_frame_range]
    return min([scene.frame_start, *ranges])


class Playing:
    """Shows a scene's frames one after the other, so that its simulations are known until it is left.

    Then the scene goes back to its frame, and what is animated and has been changed without a keyframe is put
    back. Not before, since Blender forgets the simulations of what is changed.

    Attributes:
        frames: that are shown.
        done: how many have been.
    """

    def __init__(self, scene, first: int, last: float):
        """Begin to show a scene of the user's from a frame on, until a time that has to be known."""
        self.frames = range(first, math.ceil(last) + 1)
        self.done = 0
        self._scene = scene
        self._kept = ExitStack()  # what was entered last is left first
        self._kept.enter_context(_unkeyed_kept(scene))
        self._kept.callback(scene.frame_set, scene.frame_current, subframe=scene.frame_subframe)
        self._kept.callback(_played.discard, scene.session_uid)

    @property
    def is_done(self) -> bool:
        """Whether all frames have been shown."""
        return self.done == len(self.frames)

    def show_next(self) -> None:
        """Show the next frame."""
        scene = self._scene
        with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
            scene.frame_set(self.frames[self.done])
            bpy.context.evaluated_depsgraph_get()
        self.done += 1
        if self.is_done:
            _played.add(scene.session_uid)

    def in_turns(self) -> Turns[None]:
        """Show all frames, one a turn."""
        while not self.is_done:
            self.show_next()
            yield "Simulation", self.done, len(self.frames)

    def __enter__(self) -> Playing:
        return self

    def __exit__(self, *_) -> None:
        """Put the scene back; its simulations are not known any more."""
        self._kept.close()


_played: set[int] = set()
"""``session_uid`` of scenes whose simulations are known."""


def is_played(scene) -> bool:
    """Whether a scene's simulations are known, since it was shown frame by frame and not left."""
    return scene.session_uid in _played


@contextmanager
def played(
    scene, first: int, last: float, on_frame: Callable[[int, int], None] | None = None
) -> Iterator[None]:
    """Let a scene's simulations be known within a block: see :class:`Playing`.

    Args:
        scene: the user's.
        first: frame.
        last: time that has to be known.
        on_frame: called after each frame with its number, from 1, and the number of frames.
    """
    with Playing(scene, first, last) as playing:
        for _, done, total in playing.in_turns():
            if on_frame is not None:
                on_frame(done, total)
        yield


@contextmanager
def _unkeyed_kept(scene) -> Iterator[None]:
    """Put back values that have keyframes and were changed since."""
    blocks = {block for obj in scene.objects for block in _animated(obj)} | {scene}
    values = {}
    for block in blocks:
        for path in {curve.data_path for curve in compat.fcurves(block)}:
            with suppress(ValueError):  # animates what is no more
                values[block, path] = _plain(block.path_resolve(path))
    try:
        yield
    finally:
        for (block, path), value in values.items():
            if _plain(block.path_resolve(path)) != value:
                _assign(block, path, value)


def _animated(obj) -> Iterator:
    for block in (obj, obj.data, getattr(obj.data, "shape_keys", None)):
        if block is not None and getattr(block, "animation_data", None) is not None:
            yield block


def _assign(block, path: str, value) -> None:
    """Set what a path of RNA leads to: a property, or by a key in brackets a custom one."""
    if path.endswith('"]'):
        owner, _, key = path[:-2].rpartition('["')
        (block.path_resolve(owner) if owner else block)[key] = value
    else:
        owner, _, name = path.rpartition(".")
        setattr(block.path_resolve(owner) if owner else block, name, value)


def _plain(value):
    """A value that stays what it is when the data that it was read from changes."""
    return tuple(value) if hasattr(value, "__len__") and not isinstance(value, str) else value
