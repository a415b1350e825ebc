# SPDX-License-Identifier: GPL-3.0-or-later
"""Reels: the scene whose sequencer has the takes of another, whose ``F12`` so goes on rendering it.

A scene and its reel point to each other. A copy of either points to one that does not point back, and so has
none of its own; renaming, saving, appending and undo keep both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import bpy

from .. import compat, paths
from ..errors import PeekabooError
from . import colors, strips

NAME = "{} Takes"
SOUND_OF = "peekaboo_sound_of"
"""Custom property of the strip by which a reel plays its scene's sound, and of a reel that has had it."""
SOUND_RANGE = "peekaboo_sound_range"
"""Custom property of that strip: the frames, from the first to the one after the last, that it was given."""
_OF_PICTURE = (
    "resolution_x",
    "resolution_y",
    "resolution_percentage",
    "pixel_aspect_x",
    "pixel_aspect_y",
    "fps",
    "fps_base",
)
"""Settings of a render that a reel has from its scene."""


def reel_of(scene):
    """The scene that was made for the takes of a scene; None without."""
    reel = scene.peekaboo.takes_scene
    return reel if reel is not None and reel.peekaboo.takes_of == scene else None


def is_reel(scene) -> bool:
    """Whether a scene was made for the takes of another that is there."""
    return scene.peekaboo.takes_of not in (None, scene)


def scene_of(shown):
    """The scene that the takes in a sequencer are of: its own but for a reel's."""
    return shown.peekaboo.takes_of or shown


def edited_scene(context):
    """The scene that a user means in a viewport or in a sequencer, which may show its reel."""
    return scene_of(compat.edited_scene(context))


def holder_of(scene):
    """The scene whose sequencer has the takes of a scene, and gets those to come; None where it will be made.

    Takes stay together: as long as there are any, those to come join them. Else the scene's setting decides.
    """
    reel = reel_of(scene)
    if reel is not None and strips.takes(reel):
        return reel
    if strips.takes(scene) or scene.peekaboo.takes_in == "scene" or is_reel(scene):
        return scene
    return reel


def takes(scene) -> list:
    """The takes of a scene, wherever their strips are."""
    holder = holder_of(scene)
    return strips.takes(holder) if holder is not None else []


def active_take(scene):
    """The active one of a scene's takes; None without."""
    holder = holder_of(scene)
    return strips.active_take(holder) if holder is not None else None


def take_named(scene, name: str):
    """The one of a scene's takes whose strip has a name.

    Raises:
        PeekabooError: there is none.
    """
    found = next((strip for strip in takes(scene) if strip.name == name), None)
    if found is None:
        raise PeekabooError(f'The take "{name}" is not there any more: choose one in the list.')
    return found


def prepare(scene):
    """The scene whose sequencer gets the next take of a scene, of its range, rate and size; made if need be.

    In these a reel follows its scene, in case that has been changed since.
    """
    holder = holder_of(scene)
    return prepare_reel(scene) if holder is None else _follow(holder, scene)


@contextmanager
def prepared(scene, is_new: bool = False) -> Iterator[Any]:
    """What :func:`prepare` has, for a block that puts a take into it: a reel that was made for it goes again
    where that fails.

    Args:
        scene: the user's.
        is_new: whether its reel, if it has one, was made for this block already.
    """
    before = None if is_new else reel_of(scene)
    holder = prepare(scene)
    try:
        yield holder
    except BaseException:
        if before is None and holder != scene:
            compat.show_in_sequencers(scene, instead_of=holder)
            bpy.data.scenes.remove(holder)
        raise


def prepare_reel(scene):
    """The scene for the takes of a scene, as :func:`prepare` has it, whatever the setting says."""
    return _follow(reel_of(scene) or _new_reel(scene), scene)


def _new_reel(scene):
    reel: Any = bpy.data.scenes.new(NAME.format(scene.name))
    scene.peekaboo.takes_scene, reel.peekaboo.takes_of = reel, scene
    colors.view_plainly(reel)
    reel.sync_mode = scene.sync_mode
    with suppress(TypeError):  # which a Blender that was built without ffmpeg does not have
        compat.set_movie_output(reel.render)
    if folder := scene.peekaboo.output_folder:  # without one, the root of the disk would be meant
        slash = "" if folder.endswith(("/", "\\")) else "/"
        film = f"{folder}{slash}{paths.file_name(reel.name)}_"
        reel.render.filepath = compat.literal_path(film)
    if not (scene.sequence_editor and len(compat.strips(scene.sequence_editor))):
        compat.show_in_sequencers(reel, instead_of=scene)
    return reel


def _follow(holder, scene):
    if holder != scene:
        _copy(_OF_PICTURE, scene.render, holder.render)
        _copy(("frame_start", "frame_end"), scene, holder)
        _let_hear(holder, scene)
    return holder


def _copy(names: Iterable[str], source, target) -> None:
    """Set what differs: to set a size or a rate has Blender draw all viewports from the start."""
    for name in names:
        if getattr(target, name) != (wanted := getattr(source, name)):
            setattr(target, name, wanted)


def _let_hear(reel, scene) -> None:
    """Let a reel play the sound of its scene, by a strip of that scene which shows nothing.

    It follows the scene's range, but for what a user has changed of it; removed, it stays away.
    """
    editor = reel.sequence_editor or reel.sequence_editor_create()
    wanted = scene.frame_start, scene.frame_end + 1
    made = [each for each in compat.all_strips(editor) if SOUND_OF in each]  # several where a user has cut it
    for strip in made:
        if not strip.lock and _range_of_sound(strip) != wanted:
            _follow_range(strip, wanted)
    if made or SOUND_OF in reel or not _sounds(scene):
        return
    active = editor.active_strip
    strip = compat.strips(editor).new_scene(
        name=f"Sound of {scene.name}",
        scene=scene,
        channel=strips.free_channel(editor, *wanted),
        frame_start=scene.frame_start,
    )
    strip.scene_input, strip.blend_alpha = "SEQUENCER", 0.0
    strip[SOUND_OF] = reel[SOUND_OF] = scene.name
    strip[SOUND_RANGE] = wanted
    editor.active_strip = active


def _range_of_sound(strip) -> tuple[int, int]:
    """The range that a strip of sound was given; the one that it has, where it does not remember."""
    stated = strip.get(SOUND_RANGE)
    known = tuple(stated) if hasattr(stated, "to_list") else ()
    return known if len(known) == 2 else compat.strip_range(strip)


def _follow_range(strip, wanted: tuple[int, int]) -> None:
    """Give a strip of sound another range of its scene, in time with that.

    An end that a user has trimmed stays where it is, and one that was moved in time stays whole.
    """
    known, (start, end) = _range_of_sound(strip), compat.strip_range(strip)
    if compat.content_start(strip) == known[0]:
        compat.set_content_start(strip, wanted[0])
        start = wanted[0] if start == known[0] else start
        end = wanted[1] if end == known[1] else end
        compat.set_strip_range(strip, start, max(end, start + 1))
    strip[SOUND_RANGE] = wanted


def _sounds(scene) -> bool:
    """Whether a scene plays anything: strips of sound, or speakers."""
    editor = scene.sequence_editor
    of_strips = editor is not None and any(each.type == "SOUND" for each in compat.all_strips(editor))
    return of_strips or any(obj.type == "SPEAKER" for obj in scene.objects)


def misplaced(scene) -> bool:
    """Whether the takes of a scene are elsewhere than its setting says."""
    holder = holder_of(scene)
    return holder is not None and (holder == scene) != (scene.peekaboo.takes_in == "scene")
