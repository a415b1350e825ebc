# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that are subjects: marked by the user or by what makes them, each in a colour of its own."""

from __future__ import annotations

import colorsys

from .. import compat

GOLDEN_RATIO = (5**0.5 - 1) / 2
FIRST_HUE = 0.07
"""Orange; the next hues are each a golden section further, so that neighbours differ most."""


def marked(scene) -> list:
    """List the objects of a scene that are subjects, enabled or not, by name."""
    return sorted((obj for obj in scene.objects if obj.peekaboo.is_subject), key=lambda obj: obj.name)


def new_color(count: int) -> tuple[float, float, float]:
    """A colour unlike those of ``count`` subjects before: display RGB in 0..1."""
    return colorsys.hsv_to_rgb((FIRST_HUE + count * GOLDEN_RATIO) % 1.0, 0.85, 1.0)


def mark(scene, obj, phrase: str = "") -> None:
    """Make an object of a scene a subject, with a colour of its own."""
    compat.show_in_sequencers(scene)  # now, since all windows are drawn anew for it
    obj.peekaboo.color = new_color(len(marked(scene)))
    obj.peekaboo.is_subject = obj.peekaboo.enabled = True
    if phrase:
        obj.peekaboo.phrase = phrase


def unmark(obj) -> None:
    """Make an object no subject any more; its phrase and colour are kept, should it become one again."""
    obj.peekaboo.is_subject = False
