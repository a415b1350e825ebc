# SPDX-License-Identifier: GPL-3.0-or-later
"""Which frames of a scene become a clip: one shot, or one for each camera that markers cut to.

What is set for a shot alone lies on its marker (:data:`.settings.CUT`), and so follows it when it is renamed,
moved or copied, with its scene into another file, and through undo.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PeekabooError
from ..masks import cameras

LEAST_FRAMES = 2
"""Of a shot between markers: with fewer there is no motion, and most likely a marker has slipped."""


@dataclass(frozen=True)
class Shot:
    """A stretch of a scene that becomes a clip of its own.

    Attributes:
        title: what it is called, by its marker; empty for a scene as one shot.
        first: its first frame.
        last: its last frame; less than ``first`` where it has none.
        prompt: its own, or the scene's.
        is_own_prompt: whether it is its own; then subjects that it does not name are not in the shot.
        seed: its own; None where the scene's counts.
        enabled: whether it is made with the others.
        marker: index of its marker among the scene's; None for a scene as one shot.
    """

    title: str
    first: int
    last: int
    prompt: str
    is_own_prompt: bool = False
    seed: int | None = None
    enabled: bool = True
    marker: int | None = None

    def holds(self, first: int, last: int) -> bool:
        """Whether the middle of a range of frames lies in it."""
        return self.first <= (first + last) / 2 < self.last + 1


def range_of(scene) -> tuple[int, int]:
    """First and last frame of what is generated of a scene: its preview range where it uses one.

    Raises:
        PeekabooError: the range is empty.
    """
    if scene.use_preview_range:
        start, end, what = scene.frame_preview_start, scene.frame_preview_end, "preview range"
    else:
        start, end, what = scene.frame_start, scene.frame_end, "frame range"
    if end < start:
        raise PeekabooError(
            f'The scene "{scene.name}" ends at frame {end}, before its start at {start}: set its {what}.'
        )
    return start, end


def whole(scene) -> Shot:
    """A scene as one shot, through all cuts; raises as :func:`range_of`."""
    return Shot("", *range_of(scene), scene.peekaboo.prompt)


def shots_of(scene) -> list[Shot]:
    """The shots of a scene's range, by their frames: one for each marker with a camera that a render shows.

    Without such markers, or where the scene does not use them, the scene is one shot. What lies before the
    first marker is of its shot, as Blender looks through its camera there. Of markers on one frame the first
    has the shot, and the others have none.

    Raises:
        PeekabooError: the scene's range is empty.
    """
    start, end = range_of(scene)
    bound: dict[int, list] = {}  # by their frames
    for marker in cameras.bound_markers(scene) if scene.peekaboo.use_markers else ():
        bound.setdefault(marker.frame, []).append(marker)
    frames, indices = sorted(bound), {marker: index for index, marker in enumerate(scene.timeline_markers)}
    begun = [frame for frame in frames if frame <= start][-1:] or frames[:1]
    kept = begun + [frame for frame in frames if frame > begun[0] and frame <= end] if frames else []
    if not kept or kept[0] > end:
        kept = begun
    if not kept:
        return [whole(scene)]
    found = []
    for number, frame in enumerate(kept):
        first = start if number == 0 else frame
        last = kept[number + 1] - 1 if number + 1 < len(kept) else end
        found += [
            _of_marker(scene, marker, indices[marker], first, first - 1 if nth else last)
            for nth, marker in enumerate(bound[frame])
        ]
    return found


def _of_marker(scene, marker, index: int, first: int, last: int) -> Shot:
    own, prompt = marker.peekaboo, scene.peekaboo.prompt
    return Shot(
        title=marker.name or marker.camera.name,
        first=first,
        last=last,
        prompt=own.prompt if own.prompt.strip() else prompt,
        is_own_prompt=bool(own.prompt.strip()),
        seed=own.seed if own.seed >= 0 else None,
        enabled=own.enabled,
        marker=index,
    )


def with_range(scene, first: int, last: int) -> Shot | None:
    """The shot between markers that has just these frames; None without."""
    try:
        found = shots_of(scene)
    except PeekabooError:
        return None
    return next((s for s in found if s.marker is not None and (s.first, s.last) == (first, last)), None)


def shot_at(scene, frame: int) -> Shot:
    """The shot of a scene that has a frame, or the one that is nearest; raises as :func:`shots_of`."""
    found = shots_of(scene)
    whole_ones = [shot for shot in found if shot.last >= shot.first] or found
    return min(whole_ones, key=lambda shot: max(shot.first - frame, frame - shot.last, 0))


def title_at(scene, first: int, last: int) -> str:
    """Title of the shot that has the middle of a range of frames; empty without."""
    try:
        return next((shot.title for shot in shots_of(scene) if shot.holds(first, last)), "")
    except PeekabooError:
        return ""


def check_length(shot: Shot) -> None:
    """Make sure that a shot has frames enough for a clip.

    Raises:
        PeekabooError: it has none, or only one between markers.
    """
    if shot.marker is None:
        return
    if shot.last < shot.first:
        raise PeekabooError(
            f'The shot "{shot.title}" has no frames: its marker is at frame {shot.first}, where that of '
            "another shot is; move or remove one of them."
        )
    if shot.last - shot.first + 1 < LEAST_FRAMES:
        raise PeekabooError(
            f'The shot "{shot.title}" has one frame, {shot.first}, and a clip needs {LEAST_FRAMES}: move a '
            "marker, or turn the shot off."
        )


def enabled(scene) -> list[Shot]:
    """The shots of a scene that are to be made, of which none is too short.

    Raises:
        PeekabooError: there is none, or one is too short.
    """
    chosen = [shot for shot in shots_of(scene) if shot.enabled]
    if not chosen:
        raise PeekabooError(f'All shots of "{scene.name}" are turned off: tick one in the list of shots.')
    for shot in chosen:
        check_length(shot)
    return chosen


def named(scene, names: list[str] | None) -> list[Shot]:
    """The shots of a scene with these names, by default all, in the order of their frames.

    Raises:
        PeekabooError: there is no such shot, or one is too short.
    """
    found = shots_of(scene)
    for name in names or ():
        if all(shot.title != name for shot in found):
            known = ", ".join(f'"{shot.title}"' for shot in found if shot.title)
            remedy = f"choose of {known}" if known else "bind a camera to a marker to cut one"
            raise PeekabooError(f'The scene "{scene.name}" has no shot "{name}": {remedy}.')
    chosen = [shot for shot in found if names is None or shot.title in names]
    for shot in chosen:
        check_length(shot)
    return chosen
