# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in the Video Sequencer: where they go, how long they are, what they remember."""

import json

import bpy
import numpy as np
import pytest
from scenes import add_camera

from blender_addon import compat
from blender_addon.errors import PeekabooError
from blender_addon.takes import strips

FRAMES = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A movie of FRAMES frames, encoded by Blender."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, FRAMES
    scene.render.resolution_x = scene.render.resolution_y = 64
    add_camera(scene)
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    compat.set_movie_output(scene.render)
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    scene.render.filepath = str(path)
    bpy.ops.render.render(animation=True)
    return path


def job(start=1, count=FRAMES):
    return {"seed": 3, "prompt": "a red ball", "timing": {"frame_start": start, "frame_count": count}}


def test_a_clip_starts_and_ends_with_the_shot_and_remembers_its_job(scene, clip):
    strip = strips.add_clip(scene, clip, job(start=5))
    assert compat.strip_range(strip) == (5, 5 + FRAMES)
    assert json.loads(strip[strips.JOB_PROPERTY]) == job(start=5)
    assert strip.channel == 1


@pytest.mark.parametrize(
    "folder, shot, name",
    [
        ("Street_004", "", "Street 004 · seed 7"),
        ("Street_Close_up_012", "Close up", "Close up 012 · seed 7"),
        ("Street_seed_7", "", "Street · seed 7"),
        ("Street_seed_7_002", "", "Street 002 · seed 7"),
        ("from\nanybody", "", "from\\nanybody · seed 7"),
        ("_004", "", "004 · seed 7"),
        ("Area_51", "", "Area_51 · seed 7"),
        ("Street_004", "長" * 20, f"{'長' * 14} 004 · seed 7"),
    ],
)
def test_a_strip_is_named_by_its_folder_or_shot_and_its_seed(folder, shot, name):
    assert strips.name_of(folder, 7, shot) == name


def test_takes_of_a_shot_with_a_long_name_are_told_from_one_another(scene, clip):
    title = "The street at night, seen from the roof of the house on the corner"
    names = [strips.add_clip(scene, clip, job(), shot=title).name for _ in range(2)]
    assert [name.rpartition("·")[2] for name in names] == [" seed 3", " seed 3.001"]


def test_a_clip_lies_above_what_is_there_and_disturbs_nothing(scene, clip):
    first = strips.add_clip(scene, clip, job())
    first.channel = 4
    second = strips.add_clip(scene, clip, job(start=6))
    later = strips.add_clip(scene, clip, job(start=100))
    assert (first.channel, second.channel, later.channel) == (4, 5, 1)
    assert [strip.select for strip in (first, second, later)] == [False, False, True]


def test_below_the_top_channel_the_lowest_free_one_is_taken(scene, clip):
    strips.add_clip(scene, clip, job()).channel = strips.CHANNELS
    assert strips.add_clip(scene, clip, job()).channel == 1


def test_a_clip_may_begin_where_another_one_was_moved_to(scene, clip):
    first = strips.add_clip(scene, clip, job(start=5))
    first.frame_start = 31
    again = strips.add_clip(scene, clip, job(start=5), compat.content_start(first))
    assert compat.strip_range(again) == (31, 31 + FRAMES) and again.channel == 2


def test_takes_are_the_strips_that_remember_a_job(scene, clip):
    take = strips.add_clip(scene, clip, job())
    other = compat.strips(scene.sequence_editor).new_movie("mine", str(clip), 2, 1)
    assert strips.takes(scene) == [take]
    scene.sequence_editor.active_strip = other
    assert strips.active_take(scene) is None
    scene.sequence_editor.active_strip = take
    assert strips.active_take(scene) == take
    assert strips.folder_of(take) == clip.parent
    take[strips.JOB_PROPERTY] = "[]"
    with pytest.raises(PeekabooError, match="is damaged"):
        strips.job_of(take)


def test_a_missing_clip_is_refused(scene, tmp_path):
    with pytest.raises(PeekabooError, match="no clip"):
        strips.add_clip(scene, tmp_path / "none.mp4", job())
    assert not scene.sequence_editor or not len(compat.strips(scene.sequence_editor))


def test_a_saved_file_finds_its_clip_beside_it(scene, clip):
    bpy.ops.wm.save_as_mainfile(filepath=str(clip.with_name("shot.blend")))
    assert strips.add_clip(scene, clip, job()).filepath == "//clip.mp4"


def color_strip(editor, channel, name="Color"):
    length = {"length": FRAMES} if bpy.app.version >= (5, 0, 0) else {"frame_end": 1 + FRAMES}
    strip = compat.strips(editor).new_effect(
        name=name, type="COLOR", channel=channel, frame_start=1, **length
    )
    strip.color = (0, 1, 0)
    return strip


def shown_green(scene, tmp_path):
    """Whether a render of the sequencer shows a strip of colour, and not the clip."""
    scene.render.resolution_x = scene.render.resolution_y = 16
    scene.render.filepath = str(tmp_path / "shown.png")
    scene.frame_set(3)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    red, green, blue = np.array(image.pixels).reshape(-1, 4)[:, :3].mean(axis=0)
    return green > 0.5 and red < 0.3 and blue < 0.3


@pytest.mark.parametrize("state", ["mute", "lock"])
def test_a_clip_goes_onto_no_channel_that_is_muted_or_locked(scene, clip, tmp_path, state):
    editor = scene.sequence_editor_create()
    color_strip(editor, 1)
    setattr(editor.channels[2], state, True)
    assert strips.add_clip(scene, clip, job()).channel == 3
    assert not shown_green(scene, tmp_path)


def test_channels_that_are_all_muted_are_refused(scene, clip):
    editor = scene.sequence_editor_create()
    for channel in editor.channels:
        channel.mute = True
    with pytest.raises(PeekabooError, match="muted or locked"):
        strips.add_clip(scene, clip, job())


def test_a_clip_goes_into_the_meta_strip_that_is_open(scene, clip, tmp_path):
    editor = scene.sequence_editor_create()
    meta = compat.strips(editor).new_meta("Meta", channel=1, frame_start=1)
    color_strip(meta, 1)
    editor.display_stack(meta)
    strip = strips.add_clip(scene, clip, job())
    assert strip in list(compat.strips(meta)) and strip.channel == 2
    assert strips.takes(scene) == [strip] and strips.active_take(scene) == strip
    editor.display_stack(None)
    assert strips.takes(scene) == [strip]
    assert not shown_green(scene, tmp_path)
