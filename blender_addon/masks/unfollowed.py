# SPDX-License-Identifier: GPL-3.0-or-later
"""What a renderer shows of an object and masks cannot follow: strands, points, and what it bends itself."""

from __future__ import annotations

from collections.abc import Mapping

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
OTHERWISE = "make a mesh of that, or hide it from render"
DISPLACING = {"DISPLACEMENT", "BOTH"}


def is_smoke(obj) -> bool:
    """Whether an object is the domain of a simulation of smoke or fire, which a render shows as a volume."""
    domains = [one for one in obj.modifiers if one.type == "FLUID" and one.fluid_type == "DOMAIN"]
    return any(one.show_render and one.domain_settings.domain_type == "GAS" for one in domains)


def check_smoke(owned: Mapping) -> None:
    """Make sure that no object that is seen for a subject is smoke.

    Args:
        owned: the marked object that each object is seen for.

    Raises:
        PeekabooError: one is.
    """
    for obj, owner in owned.items():
        if is_smoke(obj):
            raise _error(obj, owner, f"shows {KINDS['VOLUME']}", OTHERWISE)


def check(instance, owner, scene) -> None:
    """Make sure that masks can follow what is seen of an object.

    Args:
        instance: of a depsgraph.
        owner: the marked object that it is seen for; None for what only hides subjects.
        scene: the user's.

    Raises:
        PeekabooError: they cannot.
    """
    obj, shown = instance.object, instance.parent if instance.is_instance else instance.object
    is_exact = owner is None or owner.peekaboo.outline == "SURFACE"
    if obj.type in KINDS and not (owner is None and obj.type in CLEAR):
        raise _error(shown, owner, f"shows {KINDS[obj.type]}", OTHERWISE)
    if (material := _displacing(obj)) is not None:
        what = f'is displaced by its material "{material.name}"'
        raise _error(shown, owner, what, "set Displacement in that material's settings to Bump Only")
    if not is_exact:
        return
    if any(_is_strands(modifier) for modifier in obj.modifiers):
        hull = ", or set Outline to Convex Hull" if owner is not None else ""
        how = f"turn its particle system off for renders{hull}"
        raise _error(shown, owner, "has hair that a render shows as strands", how)
    if scene.render.engine == "CYCLES" and _is_subdivided_adaptively(obj.original, scene):
        how = "turn that off in its Subdivision modifier, and set its levels for renders"
        raise _error(shown, owner, "is subdivided adaptively", how)


def _error(obj, owner, what: str, how: str) -> PeekabooError:
    less = "" if owner is not None else ", or turn off Occluded by Scene"
    return PeekabooError(f'"{obj.name}" {what}, which masks cannot follow: {how}{less}.')


def _displacing(obj):
    """The material by which a renderer moves an object's surface, if there is one."""
    materials = [slot.material for slot in obj.material_slots] + list(getattr(obj.data, "materials", ()))
    for material in filter(None, materials):
        if material.use_nodes and material.displacement_method in DISPLACING:
            output = material.node_tree.get_output_node("ALL")
            if output is not None and output.inputs["Displacement"].is_linked:
                return material
    return None


def _is_strands(modifier) -> bool:
    if modifier.type != "PARTICLE_SYSTEM" or not modifier.show_render:
        return False
    settings = modifier.particle_system.settings
    return settings.type == "HAIR" and settings.render_type == "PATH" and settings.count > 0


def _is_subdivided_adaptively(obj, scene) -> bool:
    last = obj.modifiers[-1] if obj.modifiers else None
    if last is None or last.type != "SUBSURF" or not last.show_render:
        return False
    if hasattr(last, "use_adaptive_subdivision"):  # since 5.0
        return last.use_adaptive_subdivision
    return scene.cycles.feature_set == "EXPERIMENTAL" and obj.cycles.use_adaptive_subdivision
