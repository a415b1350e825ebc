# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes in a scene of their own, so that F12 stays the 3D scene's; and those of files from before."""

import wave

import bpy
import numpy as np
import pytest

from blender_addon import compat
from blender_addon.errors import PeekabooError
from blender_addon.takes import colors, folders, moving, reels, strips


@pytest.fixture
def folder(scene, take):
    """The folder of a take that no strip shows."""
    found = strips.folder_of(take)
    strips.remove(take)
    return found


def has_strips(scene):
    return bool(scene.sequence_editor and len(compat.strips(scene.sequence_editor)))


def test_a_first_take_gets_a_scene_of_its_own_like_the_shots_and_others_join_it(scene, folder):
    scene.view_settings.view_transform, scene.render.fps, scene.render.fps_base = "AgX", 24, 1.001
    scene.render.resolution_x, scene.render.resolution_y, scene.frame_start = 1080, 1920, 1
    first = folders.import_take(scene, folder)
    reel = first.id_data
    assert reel == reels.reel_of(scene) == reels.holder_of(scene) and reel.name == "Scene Takes"
    assert not has_strips(scene) and reels.scene_of(reel) == scene and reels.is_reel(reel)
    assert (reel.frame_start, reel.frame_end) == (scene.frame_start, scene.frame_end)
    assert (reel.render.resolution_x, reel.render.resolution_y) == (1080, 1920)
    assert reel.render.fps_base == scene.render.fps_base
    assert (reel.view_settings.view_transform, scene.view_settings.view_transform) == ("Standard", "AgX")
    assert first.colorspace_settings.name == "sRGB"
    scene.frame_end, scene.render.fps = 20, 25
    second = folders.import_take(scene, folder)
    assert second.id_data == reel and (reel.frame_end, reel.render.fps) == (20, 25)
    assert reels.takes(scene) == reels.takes(reel) == strips.takes(reel)
    assert reels.active_take(scene) == second


def test_the_scene_keeps_its_takes_where_its_setting_says_so_or_older_ones_are(scene, folder):
    scene.peekaboo.takes_in = "scene"
    take = folders.import_take(scene, folder)
    scene.peekaboo.takes_in = "own"
    assert take.id_data == folders.import_take(scene, folder).id_data == scene
    assert len(bpy.data.scenes) == 1 and reels.reel_of(scene) is None
    for strip in strips.takes(scene):
        strips.remove(strip)
    assert folders.import_take(scene, folder).id_data != scene


@pytest.mark.filterwarnings("error")
def test_takes_are_moved_there_and_back_as_they_lie(scene, take):
    take.frame_start = 11
    compat.set_strip_range(take, 13, 17)
    take.name, take.mute, take[strips.RATING_PROPERTY], take[strips.NOTE_PROPERTY] = "Best", True, 4, "late"
    state = [compat.content_start(take), compat.strip_range(take), strips.file_of(take)]
    job = strips.job_of(take)
    for setting in ("own", "scene"):
        scene.peekaboo.takes_in = setting
        if setting == "own":
            assert reels.misplaced(scene) and bpy.ops.peekaboo.move_takes() == {"FINISHED"}
        else:
            assert moving.move(scene) == []
        (moved,) = reels.takes(scene)
        assert (moved.id_data == scene) == (setting == "scene") and not reels.misplaced(scene)
        assert [compat.content_start(moved), compat.strip_range(moved), strips.file_of(moved)] == state
        assert (moved.name, moved.mute, strips.job_of(moved)) == ("Best", True, job)
        assert (moved[strips.RATING_PROPERTY], moved[strips.NOTE_PROPERTY]) == (4, "late")
        assert sum(has_strips(each) for each in bpy.data.scenes) == 1


def test_how_a_take_is_shown_goes_with_it(scene, take):
    take.transform.offset_x, take.transform.rotation, take.crop.min_x = 30, 0.5, 4
    take.blend_alpha, take.use_flip_x = 0.25, True
    scale = take.transform.scale_x = 1.5
    assert moving.move(scene) == []
    (moved,) = reels.takes(scene)
    assert (moved.transform.offset_x, moved.transform.rotation, moved.transform.scale_x) == (30, 0.5, scale)
    assert (moved.crop.min_x, moved.blend_alpha, moved.use_flip_x) == (4, 0.25, True)


def test_the_active_take_is_active_where_it_is_moved_to(scene, take):
    above = strips.add_clip(scene, strips.folder_of(take) / "clip.mp4", strips.job_of(take))
    above.name, name = "Above", take.name
    strips.choose(scene.sequence_editor, take)
    assert moving.move(scene) == []
    active = reels.active_take(scene)
    assert active.name == name and [strip.select for strip in reels.takes(scene) if strip != active] == [
        False
    ]
    assert active.select


def blurred(take):
    strips_of = compat.strips(take.id_data.sequence_editor)
    known = strips_of.bl_rna.functions["new_effect"].parameters.keys()  # which 4.4 and 5.0 have renamed
    given = {
        "input1" if "input1" in known else "seq1": take,
        "length" if "length" in known else "frame_end": 9,
    }
    strips_of.new_effect(name="Blur", type="GAUSSIAN_BLUR", channel=9, frame_start=1, **given)


@pytest.mark.parametrize(
    "work",
    [
        blurred,
        lambda take: take.modifiers.new("Brighter", "BRIGHT_CONTRAST"),
        lambda take: take.keyframe_insert("blend_alpha", frame=2),
    ],
)
def test_a_take_stays_with_what_cannot_be_moved(scene, take, work):
    work(take)
    before = len(compat.strips(scene.sequence_editor))
    (problem,) = moving.move(scene)
    assert "effects, modifiers and keyframes cannot be moved" in problem
    assert strips.takes(scene) == [take] and len(compat.strips(scene.sequence_editor)) == before


def test_a_take_whose_clip_is_gone_stays_where_it_is_when_others_move(scene, take):
    strips.add_clip(scene, strips.folder_of(take) / "clip.mp4", strips.job_of(take)).name = "Second"
    take.filepath = str(strips.folder_of(take) / "lost.mp4")
    (problem,) = moving.move(scene)
    assert "lost.mp4" in problem and strips.takes(scene) == [take]
    assert [strip.name for strip in reels.takes(scene)] == ["Second"]


def test_everything_that_takes_can_works_on_one_in_a_scene_of_its_own(scene, folder):
    take = folders.import_take(scene, folder)
    reel = take.id_data
    scene.peekaboo.prompt = "another"
    assert bpy.ops.peekaboo.restore_settings() == {"FINISHED"}
    assert scene.peekaboo.prompt == "a red ball and a blue cube" and reel.peekaboo.prompt == ""
    assert bpy.ops.peekaboo.show_masks() == {"FINISHED"}
    assert len(compat.strips(reel.sequence_editor)) == 2 and not has_strips(scene)
    assert bpy.ops.peekaboo.show_in_camera() == {"FINISHED"}
    assert len(scene.camera.data.background_images) == 1
    assert folders.has_take(scene, *folders.read(take))
    assert bpy.ops.peekaboo.delete_take() == {"FINISHED"}
    assert not has_strips(reel) and not folder.exists() and not scene.camera.data.background_images


def test_a_copy_of_a_scene_has_takes_of_its_own(scene, folder):
    reel = folders.import_take(scene, folder).id_data
    copy = scene.copy()
    assert reels.reel_of(copy) is None and reels.takes(copy) == [] and reels.reel_of(scene) == reel
    own = folders.import_take(copy, folder).id_data
    assert own not in {scene, copy, reel} and reels.scene_of(own) == copy
    assert reels.reel_of(scene) == reel and len(reels.takes(scene)) == 1
    assert reels.scene_of(reel.copy()) == scene and reels.reel_of(scene) == reel


def test_a_scene_and_its_takes_outlive_each_other(scene, folder):
    reel = folders.import_take(scene, folder).id_data
    bpy.data.scenes.remove(reel)
    assert reels.takes(scene) == [] and reels.holder_of(scene) is None
    reel = folders.import_take(scene, folder).id_data
    bpy.data.scenes.remove(scene)
    assert not reels.is_reel(reel) and reels.scene_of(reel) == reel and len(reels.takes(reel)) == 1
    assert folders.import_take(reel, folder).id_data == reel


def test_takes_of_their_own_are_there_after_saving_renaming_and_appending(scene, folder, tmp_path):
    folders.import_take(scene, folder)
    scene.name = "Street"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert len(reels.takes(bpy.data.scenes["Street"])) == 1
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "shot.blend")) as (_, data):
        data.scenes = ["Street"]
    (take,) = reels.takes(bpy.data.scenes["Street"])
    assert take.id_data.name == "Scene Takes" and strips.job_of(take)["seed"] == 7


def test_takes_get_their_scene_also_where_colours_are_configured_without_the_plain_view(
    scene, folder, monkeypatch
):
    """As by the OpenColorIO configurations of ACES."""
    monkeypatch.setattr(colors, "PLAIN_VIEW", "Not Configured")
    take = folders.import_take(scene, folder)
    assert reels.takes(scene) == [take] and take.id_data == reels.reel_of(scene) != scene


def test_a_folder_that_is_no_take_makes_no_scene(scene, tmp_path):
    with pytest.raises(PeekabooError, match="is not the folder of a take"):
        folders.import_take(scene, tmp_path)
    assert len(bpy.data.scenes) == 1


def test_a_take_that_finds_no_place_leaves_no_scene_behind(scene, folder, monkeypatch):
    monkeypatch.setattr(strips, "CHANNELS", 0)
    with pytest.raises(PeekabooError, match="channels of the sequencer are taken"):
        folders.import_take(scene, folder)
    assert list(bpy.data.scenes) == [scene] and reels.reel_of(scene) is None


def add_sound(scene, path):
    """A tone as a strip of a scene."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((np.sin(np.arange(4000) / 3) * 20000).astype("<i2").tobytes())
    editor = scene.sequence_editor or scene.sequence_editor_create()
    return compat.strips(editor).new_sound(name="Tone", filepath=str(path), channel=1, frame_start=1)


def loudest(reel, path):
    """The loudest sample of what a scene plays."""
    with bpy.context.temp_override(scene=reel):
        bpy.ops.sound.mixdown(filepath=str(path), container="WAV", codec="PCM", format="S16", accuracy=256)
    with wave.open(str(path)) as file:
        return np.abs(np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(int)).max()


def test_the_scenes_sound_is_heard_with_its_takes_and_nothing_else_of_it_seen(scene, folder, tmp_path):
    add_sound(scene, tmp_path / "tone.wav")
    reel = folders.import_take(scene, folder).id_data
    (sound,) = [strip for strip in compat.all_strips(reel.sequence_editor) if strip.type == "SCENE"]
    assert compat.strip_range(sound) == (1, 9) and sound.blend_alpha == 0
    assert loudest(reel, tmp_path / "heard.wav") > 5000
    scene.frame_end, sound.mute, sound.volume = 12, True, 0.25
    folders.import_take(scene, folder)
    (sound,) = [strip for strip in compat.all_strips(reel.sequence_editor) if strip.type == "SCENE"]
    assert compat.strip_range(sound) == (1, 13) and len(strips.takes(reel)) == 2
    assert sound.mute and sound.volume == 0.25
    assert strips.active_take(reel) is not None
    strips.remove(sound)
    folders.import_take(scene, folder)
    assert len(compat.all_strips(reel.sequence_editor)) == len(strips.takes(reel)) == 3  # it stays away


def test_takes_are_rendered_as_a_film_with_their_sound(scene, folder, tmp_path):
    add_sound(scene, tmp_path / "tone.wav")
    scene.render.resolution_x, scene.render.resolution_y = 64, 48
    scene.frame_end = 4
    reel = folders.import_take(scene, folder).id_data
    bpy.ops.render.render(animation=True, scene=reel.name)
    (film,) = tmp_path.glob("Scene_Takes_*.mp4")
    assert b"avc1" in film.read_bytes() and b"mp4a" in film.read_bytes()


@pytest.mark.parametrize(
    "stated, film",
    [("//clips", "//clips/Scene_Takes_"), ("//{shot}/", "//{shot}/Scene_Takes_"), ("", None)],
)
def test_a_film_of_takes_goes_beside_the_clips(scene, folder, stated, film):
    scene.peekaboo.output_folder = stated
    reel = folders.import_take(scene, folder).id_data
    plain = bpy.data.scenes.new("Plain").render.filepath
    assert reel.render.filepath == (compat.literal_path(film) if film else plain)


def sounds(reel):
    return [strip for strip in compat.all_strips(reel.sequence_editor) if strip.type == "SCENE"]


def test_what_a_user_has_changed_of_the_sound_stays_while_it_follows_the_scene(scene, folder, tmp_path):
    add_sound(scene, tmp_path / "tone.wav")
    reel = folders.import_take(scene, folder).id_data
    (sound,) = sounds(reel)
    sound.name, sound.volume, sound.channel = "Mine", 0.5, 7
    compat.set_strip_range(sound, 3, 9)  # trimmed at its start
    scene.frame_end = 20
    folders.import_take(scene, folder)
    assert sounds(reel) == [sound] and compat.strip_range(sound) == (3, 21)
    assert (sound.name, sound.volume, sound.channel) == ("Mine", 0.5, 7)
    compat.set_strip_range(sound, 3, 15)
    scene.frame_start, scene.frame_end = 2, 30
    folders.import_take(scene, folder)
    assert compat.strip_range(sound) == (3, 15) and compat.content_start(sound) == 2  # in time
    compat.set_content_start(sound, 40)
    before = compat.strip_range(sound)
    scene.frame_end = 50
    folders.import_take(scene, folder)
    assert compat.strip_range(sound) == before
    sound.lock = True
    scene.frame_start = 1
    folders.import_take(scene, folder)
    assert compat.strip_range(sound) == before and sounds(reel) == [sound]


def test_a_sound_that_was_trimmed_stays_whole_where_its_scene_moves_far_away(scene, folder, tmp_path):
    add_sound(scene, tmp_path / "tone.wav")
    scene.frame_start, scene.frame_end = 300, 400
    reel = folders.import_take(scene, folder).id_data
    (sound,) = sounds(reel)
    compat.set_strip_range(sound, 350, 380)
    scene.frame_start, scene.frame_end = 1, 100
    folders.import_take(scene, folder)
    assert (compat.strip_range(sound), compat.content_start(sound)) == ((350, 380), 1)
    compat.set_strip_range(sound, 10, 20)
    assert compat.strip_range(sound) == (10, 20)


def test_each_part_of_a_sound_that_was_cut_follows_and_is_in_time(scene, folder, tmp_path):
    add_sound(scene, tmp_path / "tone.wav")
    reel = folders.import_take(scene, folder).id_data
    (first,) = sounds(reel)
    second = first.split(frame=5, split_method="SOFT")
    scene.frame_start, scene.frame_end = 2, 20
    folders.import_take(scene, folder)
    assert [compat.strip_range(part) for part in (first, second)] == [(2, 5), (5, 21)]
    assert [compat.content_start(part) for part in (first, second)] == [2, 2]
    second[reels.SOUND_RANGE] = "edited by somebody"
    scene.frame_end = 24
    folders.import_take(scene, folder)
    assert compat.strip_range(first) == (2, 5)


def test_two_scenes_have_the_sound_of_each_also_in_a_meta_strip(scene, folder, tmp_path):
    add_sound(scene, tmp_path / "tone.wav")
    other = bpy.data.scenes.new("Silent")
    other.peekaboo.output_folder = str(tmp_path)
    reel = folders.import_take(scene, folder).id_data
    assert not sounds(folders.import_take(other, folder).id_data)
    meta = compat.strips(reel.sequence_editor).new_meta("Meta", channel=20, frame_start=1)
    sounds(reel)[0].move_to_meta(meta)
    scene.frame_end = 30
    folders.import_take(scene, folder)
    assert len(sounds(reel)) == 1 and compat.strip_range(sounds(reel)[0]) == (1, 31)
