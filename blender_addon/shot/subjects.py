# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that are subjects: marked by the user or by what makes them, each in a colour of its own."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import bpy
import numpy as np

from .. import compat
from ..errors import PeekabooError
from ..masks import missing
from ..masks.cast import Role, shown_objects
from . import phrases
from .shots import Shot

MAX_SUBJECTS = 255
"""A label map has 8 bits, and 0 is the background."""

Color: TypeAlias = tuple[float, float, float]
"""Display RGB in 0..1."""
ALIKE = 0.02
"""Colours that differ by less in each of red, green and blue are the same to the eye."""

GOLDEN_RATIO = (5**0.5 - 1) / 2
FIRST_HUE = 0.52
"""Cyan, far from the orange of what is selected.

The next hues are each a golden section further, so that neighbours differ most.
"""


def marked(scene) -> list:
    """List the objects of a scene that are subjects, enabled or not, by name."""
    return sorted((obj for obj in scene.objects if obj.peekaboo.is_subject), key=_by_name)


def roles_of(scene, shot: Shot | None = None) -> list[Role]:
    """What a scene's labels show in a shot, in their order: see :func:`used`.

    Raises:
        PeekabooError: there is nothing, or more than a label map can tell apart.
    """
    roles = used(scene, shot=shot)
    if not roles and shot is not None and shot.is_own_prompt:
        raise PeekabooError(names_nobody(shot))
    if not roles:
        gone = missing.unseen(scene)  # which may be one in its own file
        why = f' ("{gone[0]}" is not in the file that it is linked from)' if gone else ""
        raise PeekabooError(
            f'The scene "{scene.name}" has no subject{why}: mark an object as one and give it a phrase of '
            "the prompt."
        )
    if len(roles) > MAX_SUBJECTS:
        raise PeekabooError(
            f'The scene "{scene.name}" has {len(roles)} subjects: disable some, at most {MAX_SUBJECTS} '
            "can be told apart."
        )
    return roles


def names_nobody(shot: Shot) -> str:
    """The sentence about a shot whose own prompt has no subject in it."""
    return f'The prompt of the shot "{shot.title}" names no subject: write the phrase of one in it.'


def used(scene, update: bool = True, shot: Shot | None = None) -> list[Role]:
    """The enabled subjects that a scene would render, by name.

    Objects with one phrase are one subject where the prompt has it once.

    Args:
        scene: the user's.
        update: see also what a script has just linked; not allowed while Blender draws.
        shot: whose prompt counts; one of its own says who is in the shot. The scene as one by default.
    """
    prompt = scene.peekaboo.prompt if shot is None else shot.prompt
    shown = shown_objects(scene, update)
    enabled = [obj for obj in shown if obj.peekaboo.is_subject and obj.peekaboo.enabled]
    enabled.sort(key=_by_name)
    if shot is not None and shot.is_own_prompt:
        enabled = [obj for obj in enabled if phrases.occurs(prompt, obj.peekaboo.phrase)]
    groups = phrases.groups(prompt, [obj.peekaboo.phrase for obj in enabled])
    return [Role(tuple(enabled[index] for index in group)) for group in groups]


def _by_name(obj) -> tuple[str, str]:
    return obj.name, obj.name_full  # which alone tells a linked one from another of its name


def new_color(number: int) -> Color:
    """A colour unlike those of lower numbers."""
    return colorsys.hsv_to_rgb((FIRST_HUE + number * GOLDEN_RATIO) % 1.0, 0.85, 1.0)


def colors_of(scene, names: Iterable[str]) -> list[Color]:
    """Colours of subjects by the names of their objects, no two alike; of objects that are gone, new ones."""
    known = {obj.name_full: obj for blocks in (bpy.data.objects, scene.objects) for obj in blocks}
    known |= {obj.name: obj for obj in scene.objects if obj.name not in known}
    objects = [known.get(name) for name in names]
    return apart([tuple(obj.peekaboo.color) if obj else new_color(k) for k, obj in enumerate(objects)])


def apart(colors: Sequence[Color]) -> list[Color]:
    """Colours of subjects, no two alike: copies, and what scripts leave as it is, get new ones."""
    found: list[Color] = []
    new = map(new_color, range(2 * len(colors)))
    for color in colors:
        if _difference(color, found) < ALIKE:
            color = next((one for one in new if _difference(one, [*colors, *found]) >= ALIKE), color)
        found.append(color)
    return found


def _unlike(colors: Sequence[Color]) -> Color:
    """The colour that differs most from some others, of as many as there are, and one more."""
    candidates = [new_color(number) for number in range(len(colors) + 1)]
    if not colors:
        return candidates[0]
    differences = np.abs(np.array(candidates)[:, None] - np.array(colors)).max(axis=2)
    return candidates[differences.min(axis=1).argmax()]


def _difference(color: Color, colors: Iterable[Color]) -> float:
    """How far a colour is from the nearest of some: in the one of red, green and blue that differs most."""
    far = (max(abs(a - b) for a, b in zip(color, other, strict=True)) for other in colors)
    return min(far, default=1.0)


def tell_apart(scene, obj) -> None:
    """Give a subject another colour where a subject with another phrase has the same, as copies do."""
    others = [
        tuple(other.peekaboo.color)
        for other in marked(scene)
        if other != obj and other.peekaboo.phrase != obj.peekaboo.phrase
    ]
    if obj.peekaboo.is_subject and _difference(obj.peekaboo.color, others) < ALIKE:
        obj.peekaboo.color = _unlike([tuple(other.peekaboo.color) for other in marked(scene)])


def mark(scene, obj, phrase: str = "") -> None:
    """Make an object of a scene a subject, with a colour of its own."""
    compat.show_in_sequencers(scene)  # now, since all windows are drawn anew for it
    obj.peekaboo.color = _unlike([tuple(other.peekaboo.color) for other in marked(scene) if other != obj])
    obj.peekaboo.is_subject = obj.peekaboo.enabled = True
    if phrase:
        obj.peekaboo.phrase = phrase


def mark_as_one(scene, objects: Iterable, leader) -> None:
    """Make several objects of a scene one subject: one of them stands in the list, the rest are its parts."""
    mark(scene, leader)
    leader.peekaboo.part_of = None
    for obj in objects:
        if obj != leader:
            unmark(obj)
            obj.peekaboo.part_of = leader


def is_marked(obj) -> bool:
    """Whether an object is a subject, or was made a part of one that still is."""
    whole = obj.peekaboo.part_of
    return obj.peekaboo.is_subject or (whole is not None and whole.peekaboo.is_subject)


def is_kept(obj) -> bool:
    """Whether a file keeps what is set on an object: not on linked ones, and overrides that are locked."""
    override = obj.override_library
    return obj.is_editable and not (override is not None and override.is_system_override)


def unmark(obj) -> None:
    """Make an object no subject any more; its phrase and colour are kept, should it become one again."""
    obj.peekaboo.is_subject = False
    objects: Any = bpy.data.objects  # the stubs know none of our properties
    for part in objects:
        if part.peekaboo.part_of == obj:
            part.peekaboo.part_of = None


def select_only(view_layer, obj) -> None:
    """Select an object and no other, and make it the active one."""
    for other in view_layer.objects.selected:
        other.select_set(False)
    obj.select_set(True)
    view_layer.objects.active = obj
