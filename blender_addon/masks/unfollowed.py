# SPDX-License-Identifier: GPL-3.0-or-later
"""What a renderer shows of an object and masks cannot follow: strands, points, and what it bends itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .. import compat
from ..errors import PeekabooError

KINDS = {
    "CURVES": "hair curves",
    "POINTCLOUD": "points",
    "VOLUME": "a volume",
    "GREASEPENCIL": "grease pencil strokes",
    "GPENCIL": "grease pencil strokes",
}
"""Types of objects that a render shows and that have no surface."""
CLEAR = {"VOLUME"}
"""Those of :data:`KINDS` that hide nothing behind them for sure."""
BOUNDLESS = {"GREASEPENCIL", "GPENCIL"}
"""Those whose bounding boxes leave out how thick they are drawn, which may be any distance."""
OTHERWISE = "make a mesh of that, or hide it from render"
DISPLACING = {"DISPLACEMENT", "BOTH"}
OUTPUTS = {"CYCLES": "CYCLES", "BLENDER_EEVEE": "EEVEE", "BLENDER_EEVEE_NEXT": "EEVEE"}
"""Which of a material's outputs an engine takes, where there is one of its own."""
WITHOUT_NODES = {"BLENDER_WORKBENCH"}
"""Engines for which materials are colors alone."""


def is_smoke(obj) -> bool:
    """Whether an object is the domain of a simulation of smoke or fire, which a render shows as a volume."""
    domains = [one for one in obj.modifiers if one.type == "FLUID" and one.fluid_type == "DOMAIN"]
    return any(one.show_render and one.domain_settings.domain_type == "GAS" for one in domains)


def has_surface(obj) -> bool:
    """Whether an object of those that a render shows is shown as a surface."""
    return obj.type not in KINDS and not is_smoke(obj)


def check_smoke(objects: Iterable) -> None:
    """Make sure that no object that is seen for a subject is smoke.

    Args:
        objects: original ones.

    Raises:
        PeekabooError: one is.
    """
    for obj in objects:
        if is_smoke(obj):
            raise _error(obj, f"shows {KINDS['VOLUME']}", OTHERWISE)


def check(instance, owner, scene, by_choice: bool = False) -> None:
    """Make sure that masks can follow what is seen of an object.

    Args:
        instance: of a depsgraph.
        owner: the marked object that it is seen for; None for what only hides subjects.
        scene: the user's.
        by_choice: whether it only counts for as long as *Occluded by Scene* is on.

    Raises:
        PeekabooError: they cannot.
    """
    obj, shown = instance.object, instance.parent if instance.is_instance else instance.object
    is_shown = instance.is_instance or instance.show_self
    less = ", or turn off Occluded by Scene" if by_choice else ""
    if not has_surface(obj):
        kind = obj.type if obj.type in KINDS else "VOLUME"
        if not (owner is None and kind in CLEAR) and not _is_bare(obj):
            raise _error(shown, f"shows {KINDS[kind]}", OTHERWISE + less)
        return
    check_displacement(instance, scene, less)
    if owner is not None and is_shown and owner.peekaboo.outline != "SURFACE":
        return
    if is_hairy(obj):
        hull = ", or set Outline to Convex Hull" if owner is not None and is_shown else ""
        how = f"turn its particle system off for renders{hull}{less}"
        raise _error(shown, "has hair that a render shows as strands", how)
    if scene.render.engine == "CYCLES" and _is_subdivided_adaptively(obj.original, scene):
        how = f"turn that off in its Subdivision modifier, and set its levels for renders{less}"
        raise _error(shown, "is subdivided adaptively", how)


def check_displacement(instance, scene, less: str = "") -> None:
    """Make sure that no material displaces an instance; ``less`` says what else can be done about one.

    Raises:
        PeekabooError: one does.
    """
    if not (instance.is_instance or instance.show_self):
        return
    if (material := _displacing(instance.object, scene.render.engine)) is not None:
        what = f'is displaced by its material "{material.name}"'
        how = f"set Displacement in that material's settings to Bump Only{less}"
        raise _error(instance.parent if instance.is_instance else instance.object, what, how)


def _error(obj, what: str, how: str) -> PeekabooError:
    return PeekabooError(f'"{obj.name}" {what}, which masks cannot follow: {how}.')


def _is_bare(obj) -> bool:
    """Whether there is nothing in what has no surface: no point, no stroke."""
    if obj.type in {"CURVES", "POINTCLOUD"}:
        return len(obj.data.points) == 0
    return obj.type in {"GREASEPENCIL", "GPENCIL"} and not compat.has_strokes(obj.data)


def _displacing(obj, engine: str):
    """The material by which a renderer moves an object's surface, if there is one."""
    if engine in WITHOUT_NODES:
        return None
    materials = list(_materials(obj))
    for index, material in enumerate(materials):
        if material is None or not material.use_nodes or material.displacement_method not in DISPLACING:
            continue
        output = material.node_tree.get_output_node(OUTPUTS.get(engine, "ALL"))
        is_displaced = output is not None and output.inputs["Displacement"].is_linked
        if is_displaced and _has_faces_of(obj, index, len(materials)):
            return material
    return None


def _materials(obj) -> Iterator:
    """The materials of an object by their indices: its own where a slot says so, and those of its data."""
    slots, of_data = list(obj.material_slots), list(getattr(obj.data, "materials", ()))
    for index in range(max(len(slots), len(of_data))):
        is_own = index >= len(of_data) or (index < len(slots) and slots[index].link == "OBJECT")
        yield slots[index].material if is_own else of_data[index]


def _has_faces_of(obj, index: int, count: int) -> bool:
    """Whether a face of an object has the material of an index; beyond their number it has the last."""
    if obj.type != "MESH":
        return True
    indices = np.empty(len(obj.data.polygons), np.int32)
    obj.data.polygons.foreach_get("material_index", indices)
    return bool((np.clip(indices, 0, count - 1) == index).any())


def is_hairy(obj) -> bool:
    """Whether a render shows strands of an object, also where it does not show the object itself."""
    return any(_is_strands(modifier) for modifier in obj.modifiers)


def strands_of(obj) -> tuple[np.ndarray, float]:
    """Points of an evaluated object's strands, and how far around these and its surface others may reach.

    Strands grow where the surface was before later modifiers moved or removed it.

    Returns:
        float32 (n, 3), in the object's own space; and twice the length of the longest strand, with what
        children may be bent by.
    """
    points, reach = [np.empty((0, 3), np.float32)], 0.0
    for system in (modifier.particle_system for modifier in obj.modifiers if _is_strands(modifier)):
        settings = system.settings
        longest = settings.hair_length
        for particle in system.particles:
            keys = np.empty((len(particle.hair_keys), 3), np.float32)
            particle.hair_keys.foreach_get("co", keys.ravel())
            longest = max(longest, float(np.linalg.norm(np.diff(keys, axis=0), axis=1).sum()))
            points.append(keys)
        bends = ("kink_amplitude", "roughness_1", "roughness_2", "roughness_endpoint")
        bent = sum(abs(getattr(settings, name)) for name in bends)
        reach = max(reach, 2 * (longest + bent + settings.child_radius))
    return np.concatenate(points), reach


def _is_strands(modifier) -> bool:
    if modifier.type != "PARTICLE_SYSTEM" or not modifier.show_render:
        return False
    settings = modifier.particle_system.settings
    return settings.type == "HAIR" and settings.render_type == "PATH" and settings.count > 0


def _is_subdivided_adaptively(obj, scene) -> bool:
    last = obj.modifiers[-1] if obj.modifiers else None
    if last is None or last.type != "SUBSURF" or not last.show_render:
        return False
    return compat.is_subdivided_adaptively(obj, last, scene)
