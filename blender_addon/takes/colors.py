# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes in the colours that they have on disk, under any view transform; the scene is left as it is."""

from __future__ import annotations

INVERSES = {
    "AgX": "AgX Base sRGB",
    "Filmic": "Filmic sRGB",
    "Khronos PBR Neutral": "Khronos PBR Neutral sRGB",
}
"""By view transform: the colour space from which it makes of a file's colours what they were."""
PLAIN = "sRGB"


def space_for(scene) -> str:
    """The colour space in which a scene's sequencer shows a clip as it is on disk."""
    return INVERSES.get(scene.view_settings.view_transform, PLAIN)


def show_as_on_disk(scene, strip) -> None:
    """Let a strip be seen in the colours of its file, as far as Blender's OpenColorIO configuration can."""
    settings = strip.colorspace_settings
    if (wanted := space_for(scene)) in settings.bl_rna.properties["name"].enum_items:
        settings.name = wanted


def are_as_on_disk(scene, strip) -> bool:
    """Whether a strip is seen in the colours of its file, or nothing can be done about it."""
    settings, wanted = strip.colorspace_settings, space_for(scene)
    return settings.name == wanted or wanted not in settings.bl_rna.properties["name"].enum_items
