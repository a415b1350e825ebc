# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes in the colours that they have on disk, under any view transform; the scene is left as it is."""

from __future__ import annotations

from contextlib import suppress

PLAIN_VIEW, PLAIN = "Standard", "sRGB"
"""The view transform that leaves colours as they are on disk, and the colour space of a file."""
INVERSES = {
    PLAIN_VIEW: PLAIN,
    "AgX": "AgX Base sRGB",
    "Filmic": "Filmic sRGB",
    "Khronos PBR Neutral": "Khronos PBR Neutral sRGB",
}
"""By view transform: the colour space from which it makes of a file's colours what they were. That is exact
of Standard alone: others have no way to the purest colours."""
IN_PART = {"Khronos PBR Neutral"}
"""View transforms of which that is so for usual colours, too."""
PLAIN_LOOKS = {"None", "AgX - Base Contrast"}
"""Looks that change nothing."""


def space_for(scene) -> str:
    """The colour space in which a scene's sequencer shows a clip as it is on disk."""
    return INVERSES.get(scene.view_settings.view_transform, PLAIN)


def show_as_on_disk(scene, strip) -> None:
    """Let a strip be seen in the colours of its file, as far as Blender's OpenColorIO configuration can."""
    if not are_as_on_disk(scene, strip):  # else Blender draws all viewports from the start for nothing
        strip.colorspace_settings.name = space_for(scene)


def are_as_on_disk(scene, strip) -> bool:
    """Whether a strip is seen in the colours of its file, or its colour space can do nothing about it."""
    settings, wanted = strip.colorspace_settings, space_for(scene)
    return settings.name == wanted or wanted not in settings.bl_rna.properties["name"].enum_items


def alterations(scene) -> list[str]:
    """What in a scene's colour management changes clips that no colour space of a strip takes back."""
    view, undone = scene.view_settings, INVERSES.keys() - IN_PART
    told = {
        f"the view transform {view.view_transform}": view.view_transform not in undone,
        f"the look {view.look}": view.look not in PLAIN_LOOKS,
        "the exposure": view.exposure != 0,
        "the gamma": view.gamma != 1,
        "the curves": view.use_curve_mapping,
        "the white balance": getattr(view, "use_white_balance", False),  # since Blender 4.3
    }
    return [what for what, alters in told.items() if alters]


def view_plainly(scene) -> None:
    """Let a scene that is there for takes alone show files as they are."""
    view = scene.view_settings
    with suppress(TypeError):  # which the OpenColorIO configuration of a studio may not have
        view.view_transform = PLAIN_VIEW
    with suppress(TypeError):
        view.look = "None"
    view.exposure, view.gamma, view.use_curve_mapping = 0, 1, False
    if hasattr(view, "use_white_balance"):
        view.use_white_balance = False
