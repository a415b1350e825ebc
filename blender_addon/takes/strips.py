# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes in a scene's Video Sequencer: put one there, find them, and what they remember."""

import json
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import bpy

from .. import compat, paths
from ..borders import places
from ..engine import job_schema
from ..errors import PeekabooError, shown
from ..memory import remembered
from . import colors

CHANNELS = 128
"""Blender's number of channels; they count from 1."""

LONGEST_NAME = 57
"""Bytes of a strip's name that Blender leaves alone where it puts a number behind."""
PICTURE = ".png"
"""What the name of a clip ends with that is a picture."""
FINISHES = ("smooth", "enlarge")
"""What can be done to a clip, as a job names it."""
FINISHED = {"smooth": ("smooth",), "enlarged": ("enlarge",), "smooth_enlarged": FINISHES}
"""What the engine calls a clip that it has finished, beside the model's own: what was done to it."""
JOB_PROPERTY = "peekaboo_job"
"""Custom property of a strip: the job that made it, as JSON."""
FOLDER_PROPERTY = "peekaboo_folder"
"""Custom property of a strip: the folder of its take, relative to the .blend where that can be."""
RATING_PROPERTY, NOTE_PROPERTY, MOST_STARS = "peekaboo_rating", "peekaboo_note", 5
"""Custom properties of a strip: what the user thinks of the take."""
_OF_LOOK = (
    "blend_type",
    "blend_alpha",
    "color_tag",
    "color_multiply",
    "color_saturation",
    "multiply_alpha",
    "strobe",
    "use_flip_x",
    "use_flip_y",
    "use_reverse_frames",
    "lock",
)
_OF_PLACE = {
    "transform": ("offset_x", "offset_y", "scale_x", "scale_y", "rotation", "origin", "filter"),
    "crop": ("min_x", "max_x", "min_y", "max_y"),
}
"""What a user may have set of a strip, and of the parts of one."""


def add_clip(scene, clip: Path, job: dict, frame_start: int | None = None, shot: str = ""):
    """Add a clip as a strip where its job says, on a channel that is free there; returns the strip.

    Args:
        scene: whose sequencer gets it.
        clip: the movie, at the scene's frame rate, or a picture, which is held for the whole shot.
        job: that made it, as ``job.json`` states it.
        frame_start: where it is to begin, if not where the job says.
        shot: title of the shot that it is a take of, where the scene has several.

    Raises:
        PeekabooError: the clip is not there, or all channels are taken.
    """
    if not places.is_file(clip):  # Blender would add a strip of one frame and say nothing
        raise PeekabooError(f'There is no clip at "{clip}": generate it again.')
    start, count = job["timing"]["frame_start"], job["timing"]["frame_count"]
    start = start if frame_start is None else frame_start
    editor = scene.sequence_editor or scene.sequence_editor_create()
    opened = looked_at(editor)
    add = compat.strips(opened).new_image if clip.suffix == PICTURE else compat.strips(opened).new_movie
    strip = add(
        name=name_of(clip.parent.name, job["seed"], shot),
        filepath=path_in_file(clip),
        channel=free_channel(opened, start, start + count),
        frame_start=start,
        fit_method="FIT",
    )
    compat.set_strip_length(strip, count)
    strip[JOB_PROPERTY] = json.dumps(job)
    strip[FOLDER_PROPERTY] = path_in_file(clip.parent)
    strip[RATING_PROPERTY], strip[NOTE_PROPERTY] = 0, ""
    strip.id_properties_ui(RATING_PROPERTY).update(min=0, max=MOST_STARS, description="How good the take is")
    strip.id_properties_ui(NOTE_PROPERTY).update(description="What there is to say of the take")
    colors.show_as_on_disk(scene, strip)
    choose(editor, strip)  # in the list of takes, too; else all that arrive would be moved together
    compat.show_in_sequencers(scene)
    return strip


def name_of(folder: str, seed: int, shot: str = "") -> str:
    """What the strip of a take is called: by its shot or scene, the number of its folder, and its seed.

    Blender cuts off a name's end, which tells takes of a shot from one another: so the shot's is cut.

    Args:
        folder: name of the take's folder, as *Generate* or the command line makes one, or anybody.
        seed: that made it.
        shot: its title; what the folder says by default.
    """
    match = re.fullmatch(r"(.*?)(?:_seed_\d+)?(?:_(\d{3,}))?", shown(folder))
    assert match is not None  # as all of it may be the first group's
    facts = f" {match[2]} · seed {seed}" if match[2] else f" · seed {seed}"
    title = (shot or match[1]).encode()[: LONGEST_NAME - len(facts.encode())].decode(errors="ignore")
    return f"{title.rstrip()}{facts}".lstrip()


def move(strip, scene):
    """Move a take to the sequencer of another scene, with what was set of it; returns the new strip.

    Blender cannot move one, so that it is made anew.

    Raises:
        PeekabooError: the clip is gone, the take is damaged, there is no room, or it has what would be lost;
            then it stays.
    """
    if _is_worked_on(strip):
        raise PeekabooError(
            f'The take "{strip.name}" stays where it is, since its effects, modifiers and keyframes cannot '
            "be moved with it: remove them first, or leave the takes there."
        )
    job, (start, end) = job_of(strip), compat.strip_range(strip)
    new = add_clip(scene, paths.absolute(file_of(strip)), job, compat.content_start(strip))
    compat.set_strip_range(new, start, end)
    new.name, new.mute = strip.name, strip.mute
    for name in _OF_LOOK:
        setattr(new, name, getattr(strip, name))
    for part, names in _OF_PLACE.items():
        for name in names:
            setattr(getattr(new, part), name, getattr(getattr(strip, part), name))
    for name in (FOLDER_PROPERTY, RATING_PROPERTY, NOTE_PROPERTY):
        if name in strip:
            new[name] = strip[name]
    remove(strip)
    return new


def _is_worked_on(strip) -> bool:
    """Whether effects show a strip, or it has modifiers or keyframes."""
    editor = strip.id_data.sequence_editor
    shown_by = (
        strip in (getattr(other, "input_1", None), getattr(other, "input_2", None))
        for other in compat.all_strips(editor)
    )
    path = f'sequence_editor.{compat.all_strips_name(editor)}["{bpy.utils.escape_identifier(strip.name)}"]'
    keyed = (curve.data_path.startswith(path) for curve in compat.fcurves(strip.id_data))
    return bool(len(strip.modifiers)) or any(shown_by) or any(keyed)


def remove(strip) -> None:
    """Take a strip out of its sequencer, also out of a meta strip."""
    editor = strip.id_data.sequence_editor
    metas = (other for other in compat.all_strips(editor) if other.type == "META")
    for holder in (editor, *metas):
        if strip in list(compat.strips(holder)):
            compat.strips(holder).remove(strip)
            return


def takes(scene) -> list:
    """The strips of a scene that the engine has made, also those in meta strips."""
    editor = scene.sequence_editor
    return [strip for strip in compat.all_strips(editor) if is_take(strip)] if editor else []


def covering(strip) -> list:
    """The takes of the same sequencer that lie over a part of one: on higher channels."""
    (start, end), height = compat.strip_range(strip), height_of(strip)
    return [
        take
        for take in takes(strip.id_data)
        if height_of(take) > height
        and compat.strip_range(take)[0] < end
        and compat.strip_range(take)[1] > start
    ]


def height_of(strip) -> tuple[int, ...]:
    """Where a strip lies: its channel, after that of its meta strip, after that of what this is in."""
    meta = strip.parent_meta()
    return (*(height_of(meta) if meta else ()), strip.channel)


def active_take(scene):
    """The active strip of a scene, where the engine has made it; else None."""
    strip = scene.sequence_editor.active_strip if scene.sequence_editor else None
    return strip if strip is not None and is_take(strip) else None


def choose(editor, chosen) -> None:
    """Make a strip the active one of a sequence editor, and select it alone."""
    for strip in compat.all_strips(editor):
        strip.select = strip == chosen
    editor.active_strip = chosen


def is_take(strip) -> bool:
    """Whether the engine has made a strip."""
    return strip.type in {"MOVIE", "IMAGE"} and JOB_PROPERTY in strip


def file_of(strip) -> str:
    """The file that a take shows, as its strip states it."""
    return strip.filepath if strip.type == "MOVIE" else strip.directory + strip.elements[0].filename


def finish_of(strip) -> dict[str, bool]:
    """How the clip was finished that a take shows, as a job states it."""
    name = bpy.path.basename(file_of(strip)).rpartition(".")[0]
    return {kind: kind in FINISHED.get(name, ()) for kind in FINISHES}


def job_of(strip) -> dict:
    """The job that made a strip, as ``job.json`` states it; whoever asks must not change it.

    Raises:
        PeekabooError: what the strip remembers is no job, such as after somebody has edited it.
    """
    stated = strip.get(JOB_PROPERTY)
    job = _parse(stated) if isinstance(stated, str) else "it is no text"
    if isinstance(job, str):
        raise PeekabooError(f'What made the take "{strip.name}" is damaged ({job}): generate it again.')
    return job


def seeds(scene) -> list[int]:
    """The seeds of a scene's takes; damaged ones tell none."""
    found = []
    for strip in takes(scene):
        with suppress(PeekabooError):
            found.append(job_of(strip)["seed"])
    return found


@lru_cache(maxsize=128)  # panels ask at each drawing
def _parse(text: str) -> dict | str:
    """A job, or what is wrong with it."""
    try:
        return job_schema.parse(text)
    except job_schema.Damaged as error:
        return shown(str(error))


def folder_of(strip) -> Path:
    """The folder of a take: where its clip lies, or where it lay when it was made."""
    folder = paths.absolute(file_of(strip)).parent
    stated = strip.get(FOLDER_PROPERTY)
    if not isinstance(stated, str) or not stated or _has_job(folder):
        return folder
    return paths.absolute(stated)


@remembered(True)
def _has_job(folder: Path) -> bool:
    return places.is_folder(folder / "job")


def looked_at(editor):
    """What of a sequence editor the user looks at: a meta strip that is open, or all of it."""
    return editor.meta_stack[-1] if editor.meta_stack else editor


def free_channel(opened, start: int, end: int) -> int:
    """The first channel above all strips in a range of frames, so that the clip is seen.

    Else the lowest free one. None that is muted, or locked.

    Args:
        opened: a sequence editor, or a meta strip.
        start: first frame.
        end: the frame after the last.
    """
    strips = compat.strips(opened)
    taken = {
        strip.channel
        for strip in strips
        if compat.strip_range(strip)[0] < end and compat.strip_range(strip)[1] > start
    }
    above = max(taken, default=0) + 1
    shown = (number for number in range(1, CHANNELS + 1) if _is_usable(opened.channels[number]))
    free = sorted(set(shown) - taken, key=lambda channel: (channel < above, channel))
    if not free:
        raise PeekabooError(
            f"All {CHANNELS} channels of the sequencer are taken in frames {start} to {end - 1}, muted or "
            "locked: clear one for the clip."
        )
    return free[0]


def _is_usable(channel) -> bool:
    return not channel.mute and not channel.lock


def path_in_file(clip: Path) -> str:
    """A path, relative to the .blend where that has one, so that both can be moved together."""
    if not bpy.data.filepath:
        return str(clip.resolve())
    try:
        return bpy.path.relpath(str(clip.resolve()))
    except ValueError:  # on another Windows drive
        return str(clip.resolve())
