# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks have found of shots, and the layouts that they have read, for as long as these hold.

Reading makes Blender draw its viewports anew, which takes long where a processor draws, and *Generate* need
not do it again. Nothing of Blender's is held; scenes are known by their ``session_uid``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .. import changes
from . import findings
from .dependencies import dependencies_of
from .layout import Layout
from .shots import Shot

MOST_REPORTS = 64
"""Of so many shots it is known what was found; a shot that is changed is another one."""
MOST_BYTES = 2**29
"""Of the label maps that are kept; the last is, however large."""

Key: TypeAlias = tuple[int, Shot | None]
"""What is checked: the ``session_uid`` of a scene, and its shot, None for the scene as one."""


@dataclass(frozen=True)
class Report:
    """What a check has found.

    Attributes:
        problem: what keeps the shot from being made, in a sentence; empty without.
        findings: what may disappoint.
    """

    problem: str = ""
    findings: tuple[findings.Finding, ...] = ()


@dataclass(frozen=True)
class _Read:
    """A layout that was read before, and what it depends on."""

    changes: int
    dependencies: tuple
    layout: Layout


_reports: dict[Key, tuple[int, Report]] = {}
"""The number of changes that there had been, and the report; of the shots that were looked at last."""
_layouts: dict[Key, _Read] = {}


def key_of(scene, shot: Shot | None) -> Key:
    """A shot of a scene, which is the scene as one where no marker begins it; so for all functions here."""
    return scene.session_uid, None if shot is None or shot.marker is None else shot


def report_of(scene, shot: Shot | None = None) -> Report | None:
    """What the last check of a shot has found, if there was one."""
    return _reports.get(key_of(scene, shot), (-1, None))[1]


def is_pending(scene, shot: Shot | None = None) -> bool:
    """Whether a scene has changed since the last check of a shot."""
    return _reports.get(key_of(scene, shot), (-1, None))[0] != changes.count()


def keep(of: Key, made_at: int, report: Report) -> None:
    """Keep a report, made after so many changes, and those of the shots that were looked at last."""
    _reports.pop(of, None)
    _reports[of] = made_at, report
    while len(_reports) > MOST_REPORTS:
        del _reports[next(iter(_reports))]


def layout_of(scene, shot: Shot | None) -> Layout | None:
    """The layout of a shot, where it was read since the last change."""
    with changes.updates_ignored():
        read = _layouts.get(key_of(scene, shot))
        if read is None or read.changes != changes.count():
            return None
        return read.layout if read.dependencies == dependencies_of(scene, shot) else None


def remember(of: Key, dependencies: tuple | None, layout: Layout) -> None:
    """Keep a layout, and those of other shots that hold still."""
    _layouts.pop(of, None)
    for other in [other for other, read in _layouts.items() if read.changes != changes.count()]:
        del _layouts[other]
    if dependencies is not None:
        _layouts[of] = _Read(changes.count(), dependencies, layout)
    while len(_layouts) > 1 and sum(read.layout.labels.nbytes for read in _layouts.values()) > MOST_BYTES:
        del _layouts[next(iter(_layouts))]


def forget() -> None:
    """Forget all scenes."""
    _reports.clear()
    _layouts.clear()
