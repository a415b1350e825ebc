# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes: their folders, what is made again from them, restored, and shown of their masks."""

import json
import os
import re
import sys
import unicodedata
from pathlib import Path

import bpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import layout_of, small_shot

from blender_addon import compat, paths
from blender_addon.engine import catalogue
from blender_addon.errors import PeekabooError, shown
from blender_addon.interface import icons, panels_takes
from blender_addon.making import delivery
from blender_addon.masks import painting
from blender_addon.shot import model, restoring, seeds, subjects
from blender_addon.shot.job import make_job
from blender_addon.takes import folders, mask_strips, reels, strips


def test_each_clip_has_a_folder_of_its_own_after_the_last(scene, tmp_path):
    scene.peekaboo.output_folder = str(tmp_path)
    scene.name = "Shot 1/a"
    assert [folders.new_folder(scene).name for _ in range(2)] == ["Shot_1_a_001", "Shot_1_a_002"]
    (tmp_path / "Shot_1_a_001").rmdir()
    (tmp_path / "Shot_1_a_1200").touch()
    assert folders.new_folder(scene).name == "Shot_1_a_1201"


def test_clips_go_beside_the_file(scene, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert folders.new_folder(bpy.context.scene) == tmp_path / "peekaboo" / "Scene_001"


def test_scenes_whose_names_are_cleaned_alike_have_folders_of_their_own(scene):
    scene.name = "Shot 1"
    others = [bpy.data.scenes.new(name) for name in ("Shot_1", "shot/1", "Shot_1_2", "Other")]
    names = [folders.name_of(one) for one in (scene, *others)]
    assert len({name.casefold() for name in names}) == len(names) and names[-1] == "Other"


WINDOWS = re.compile(
    r'(CON|PRN|AUX|NUL|(COM|LPT)[0-9\u00b9\u00b2\u00b3])(\..*)?|.*[<>:"/\\\\|?*\x00-\x1f].*|.*[. ]',
    re.I | re.S,
)
"""What it takes for no name of a file (learn.microsoft.com, Naming Files, Paths, and Namespaces)."""


NAMES = st.text(min_size=1, max_size=300) | st.sampled_from(["con", "NUL.", "aux ", "a\u202eb", "\ud800"])


def test_letters_of_all_languages_are_kept():
    assert paths.file_names(["Käse", "Kase", "Ka\u0308se", "Été", "Сцена", "鏡 1"]) == [
        *("Käse", "Kase", "Käse_2", "Été", "Сцена", "鏡_1")
    ]
    assert paths.file_names(["com\u00b2", "½ ©"]) == ["com\u00b2_", "½__"]


@settings(max_examples=40)
@given(st.lists(NAMES, max_size=4))
def test_names_of_data_are_names_of_files_on_every_system(names):
    found = paths.file_names(names)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in found}) == len(names)
    for name in found:
        assert name and not WINDOWS.fullmatch(name) and not WINDOWS.fullmatch(f"{name}.0001.png")
        assert name == shown(name) and "\u200b" not in name
        assert len(f"{name}.0001.png".encode()) < 255


@pytest.mark.skipif(os.name == "nt", reason="elsewhere than on Windows")
@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ("//clips/a", "{here}/clips/a"),
        ("//clips\\a\\", "{here}/clips/a"),
        ("//..\\clips", "{above}/clips"),
        ("C:\\clips\\a", "/c/clips/a"),
        ("c:/clips", "/c/clips"),
        ("/clips/a", "/clips/a"),
    ],
)
def test_paths_mean_what_blender_means(scene, tmp_path, stated, meant):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert paths.absolute(stated) == Path(meant.format(here=tmp_path, above=tmp_path.parent))
    if stated.startswith("//"):
        bpy.context.scene.peekaboo.output_folder = stated
        assert folders.new_folder(bpy.context.scene).parent == paths.absolute(stated)


def test_a_script_may_set_a_folder_beside_the_file_on_each_version(scene):
    scene.peekaboo.output_folder = "//clips/"
    assert scene.peekaboo.output_folder == "//clips/"


def test_a_file_never_saved_has_no_place_beside_it(scene):
    with pytest.raises(PeekabooError, match="never saved: save it first, or choose an output folder"):
        folders.new_folder(scene)


def test_a_folder_that_cannot_be_written_is_named(scene, tmp_path):
    (tmp_path / "file").touch()
    scene.peekaboo.output_folder = str(tmp_path / "file")
    with pytest.raises(PeekabooError, match=r"file.* cannot be written .*: choose another one"):
        folders.new_folder(scene)


def test_whether_a_folder_can_be_written_is_told_without_making_it(scene, tmp_path, monkeypatch):
    scene.peekaboo.output_folder = str(tmp_path / "not" / "there")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", None)  # at the top of a Windows disk users may make folders, and no files
        folders.check_writable(scene)
    assert not list(tmp_path.iterdir())
    (tmp_path / "not").touch()
    with pytest.raises(PeekabooError, match=r"there.* cannot be written .*: choose another one"):
        folders.check_writable(scene)


def test_several_takes_have_a_seed_each(scene):
    scene.peekaboo.seed = 5
    assert seeds.seeds(scene, 3) == [5, 6, 7]
    scene.peekaboo.seed_mode = "RANDOM"
    assert len(set(seeds.seeds(scene, 8))) == 8


def test_a_retake_has_the_next_seed_that_no_take_has(scene):
    assert seeds.unused_seed(scene, [7]) == 8
    assert seeds.unused_seed(scene, [11, 3]) == 12
    assert seeds.unused_seed(scene, []) == 0


def test_a_take_can_be_made_again_from_what_it_left(scene, take):
    job, labels = folders.read(take)
    assert job == strips.job_of(take) and labels.shape == (4, 24, 32)


def test_masks_that_are_gone_or_replaced_are_not_taken_for_the_takes_own(scene, take):
    path = strips.folder_of(take) / "job" / "job.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"seed": 99}))
    with pytest.raises(PeekabooError, match="replaced by those of another take: press Restore Settings"):
        folders.read(take)
    path.unlink()
    with pytest.raises(PeekabooError, match=r"not there any more: press Restore Settings"):
        folders.read(take)


def test_restoring_brings_back_settings_and_phrases_and_names_what_is_gone(scene, take):
    settings = scene.peekaboo
    settings.prompt, settings.seed, settings.masked_steps = "something else", 1, -1
    settings.method = "auto"
    settings.seed_mode, settings.num_inference_steps = "RANDOM", 90
    scene.objects["Ball"].peekaboo.phrase = "a green ball"
    bpy.data.objects.remove(scene.objects["Cube"])
    late = bpy.data.objects.new("Late", None)
    scene.collection.objects.link(late)
    subjects.mark(scene, late, "a late one")
    assert restoring.restore(scene, strips.job_of(take)) == ['no object "Cube" is left']
    assert (settings.prompt, settings.seed, settings.seed_mode) == ("a red ball and a blue cube", 7, "FIXED")
    assert (settings.masked_steps, settings.num_inference_steps, settings.guidance_scale) == (3, 0, 0.0)
    assert settings.method == "peekaboo"
    assert scene.objects["Ball"].peekaboo.phrase == "a red ball"
    assert scene.objects["Ball"].peekaboo.enabled and not late.peekaboo.enabled


def test_restored_settings_make_the_same_job(scene, take):
    job = strips.job_of(take)
    restoring.restore(scene, job)
    _, labels = folders.read(take)
    assert make_job(scene, layout_of(scene, labels), seed=7) == job


def test_masks_lie_over_their_take_until_they_are_hidden(scene, take):
    take.frame_start = 21
    masks = mask_strips.show(scene, take)
    assert compat.strip_range(masks) == (21, 29) and masks.channel == take.channel + 1
    assert [element.filename for element in masks.elements] == [f"{i // 2 + 1:04}.png" for i in range(8)]
    assert mask_strips.shown_over(take) == masks and masks.blend_type == "ALPHA_OVER"
    assert reels.takes(scene) == [take]
    mask_strips.hide(take)
    assert mask_strips.shown_over(take) is None and len(reels.takes(scene)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own command is always there")
def test_what_an_older_take_does_not_tell_becomes_as_in_a_new_scene_and_is_said(scene, take):
    job = json.loads(json.dumps(strips.job_of(take)))
    for name in ("finish", "end_with", "loras", "schedule"):
        job.pop(name, None)
    del job["masks"]["framing"]
    settings = scene.peekaboo
    settings.framing, settings.smooth, settings.enlarge, settings.end_with = 0.5, True, True, "rendered"
    settings.loras = "owner/name/style.safetensors"
    left = restoring.restore(scene, job)
    assert left == [
        "the take does not tell End With, Framing, Smooth, Enlarge, LoRAs, which are as in a new scene"
    ]
    assert (settings.framing, settings.smooth, settings.enlarge) == (0, False, False)
    assert (settings.end_with, settings.loras) == ("nothing", "")
    assert restoring.restore(scene, job) == []


def test_a_folder_that_no_program_can_show_is_named(take, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r'no xdg-open to show ".*Scene_001" with: install xdg-utils'):
        bpy.ops.peekaboo.open_take()


def test_pictures_of_masks_are_what_blender_reads(scene, take):
    mask_strips.show(scene, take)
    image = bpy.data.images.load(str(strips.folder_of(take) / "masks" / "0001.png"))
    pixels = np.array(image.pixels).reshape(*reversed(image.size), 4)[::-1] * 255
    _, labels = folders.read(take)
    colors = [tuple(scene.objects[name].peekaboo.color) for name in ("Ball", "Cube")]
    painted = painting.outlined(labels[0], colors, mask_strips.SCALE)
    seen = painted[..., 3] > 0
    assert (np.abs(pixels - painted)[seen] < 1).all() and (pixels[~seen][:, 3] == 0).all()


def test_a_picture_that_is_no_png_of_the_engines_is_refused():
    for data in (b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\0" * 40):
        with pytest.raises(ValueError):
            icons.read_png(data)


@pytest.mark.parametrize("path", [r"\\server\share\wan", "//server/share/wan"])
def test_a_model_on_another_machine_is_looked_at_only_where_the_user_names_it(scene, take, monkeypatch, path):
    job = {**strips.job_of(take), "model": path}
    take[strips.JOB_PROPERTY] = json.dumps(job)
    (strips.folder_of(take) / "job" / "job.json").write_text(json.dumps(job))
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "_entry_of_folder", None)
        with pytest.raises(PeekabooError, match=r"on another machine.* type that path in Model"):
            delivery.order_again(scene, take)
        (left,) = restoring.restore(scene, job)
    assert "on another machine" in left and scene.peekaboo.model == catalogue.DEFAULT_MODEL
    assert (scene.peekaboo.size, scene.peekaboo.width) == ("custom", job["width"])
    monkeypatch.setattr(model, "model_of", lambda scene: path)  # as Windows has what is typed
    assert delivery.order_again(scene, take).job["model"] == path


def test_a_new_take_in_the_folder_of_one_that_was_deleted_has_its_own_thumbnail(take):
    def seen(value):
        picture = strips.folder_of(take) / "thumbnail.png"
        picture.write_bytes(painting.png(np.full((4, 4, 3), value, np.uint8)))
        panels_takes._thumbnail(take)
        return icons._icons[str(picture)].image_pixels_float[0]

    assert seen(255) == 1 and seen(0) == 1  # which is asked at each drawing, and read once
    take[strips.JOB_PROPERTY] = json.dumps({**strips.job_of(take), "seed": 8})
    assert seen(0) == 0


def test_restoring_sets_the_preview_range_where_that_is_used(scene, take):
    scene.frame_start, scene.frame_end, scene.use_preview_range = 100, 200, True
    restoring.restore(scene, strips.job_of(take))
    assert (scene.frame_preview_start, scene.frame_preview_end) == (1, 8)
    assert (scene.frame_start, scene.frame_end) == (100, 200)


def add_take_over(scene, take, name="Other"):
    over = strips.add_clip(scene, strips.folder_of(take) / "clip.mp4", strips.job_of(take))
    over.name = name
    return over


def test_masks_of_a_covered_take_are_seen_over_its_own_picture(scene, take):
    upper, muted = add_take_over(scene, take), add_take_over(scene, take, "Muted")
    muted.mute = True
    later = add_take_over(scene, take, "Later")
    later.frame_start = 100
    mask_strips.show(scene, take)
    assert (take.mute, upper.mute, muted.mute, later.mute) == (False, True, True, False)
    mask_strips.hide(take)
    assert (take.mute, upper.mute, muted.mute, later.mute) == (False, False, True, False)


@pytest.mark.parametrize("edited", ["[", "7", '{"Other": 1}', "[[1]]", 5])
def test_masks_that_remember_nonsense_can_be_hidden(scene, take, edited):
    upper = add_take_over(scene, take)
    masks = mask_strips.show(scene, take)
    masks[mask_strips.MUTED_PROPERTY] = edited
    mask_strips.hide(take)
    assert mask_strips.shown_over(take) is None and upper.mute


def test_a_clip_whose_strip_is_gone_becomes_a_take_again(scene, take):
    job, folder = strips.job_of(take), strips.folder_of(take)
    compat.strips(scene.sequence_editor).remove(take)
    assert reels.takes(scene) == []
    again = folders.import_take(scene, folder)
    assert reels.takes(scene) == [again] and strips.job_of(again) == job
    assert compat.strip_range(again) == (1, 9) and folders.read(again)[0] == job
    strips.remove(again)
    scene.timeline_markers.new("Wide", frame=1).camera = scene.camera
    assert folders.import_take(scene, folder).name == "Wide 001 · seed 7"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda folder: (folder / "clip.mp4").unlink(), "is not the folder of a take"),
        (lambda folder: (folder / "job" / "job.json").unlink(), "is not the folder of a take"),
        (lambda folder: (folder / "job" / "job.json").write_text("[" * 9000), "cannot be used"),
        (lambda folder: (folder / "job" / "job.json").write_text("{}"), "schema_version is missing"),
    ],
)
def test_a_folder_that_is_no_take_is_refused_in_a_sentence(scene, take, spoil, problem):
    folder = strips.folder_of(take)
    compat.strips(scene.sequence_editor).remove(take)
    spoil(folder)
    with pytest.raises(PeekabooError, match=problem) as refused:
        folders.import_take(scene, folder)
    assert str(refused.value).endswith(("choose one.", "choose another folder."))
    assert not reels.takes(scene)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("name", ["job", "job/job.json", "clip.mp4", "smooth.mp4"])
def test_a_take_with_links_in_it_is_refused(scene, take, tmp_path, name):
    folder = strips.folder_of(take)
    (folder / "smooth.mp4").touch()
    (folder / "clip.json").write_text(json.dumps({"finished": {"smooth.mp4": {}}}))
    compat.strips(scene.sequence_editor).remove(take)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PeekabooError, match=r"it is a link|its job is a link"):
        folders.import_take(scene, folder)


def movie(path, frames, size):
    """An MP4 of so many frames."""
    scene = bpy.data.scenes.new("Movie")
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.frame_start, scene.frame_end = 1, frames
    scene.render.filepath, scene.render.use_file_extension = str(path), False
    scene.render.engine = "BLENDER_WORKBENCH"
    compat.strips(scene.sequence_editor_create()).new_movie("none", str(path), 1, 1)
    compat.set_movie_output(scene.render)
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.data.scenes.remove(scene)


@pytest.mark.parametrize(
    ("frames", "size", "told"),
    [
        (8, (32, 24), None),
        (5, (32, 24), "has 5 frames, and was made with 8"),
        (8, (64, 24), "has pictures of 64 × 24, and was made with 32 × 24"),
        (0, (0, 0), "cannot be read as a movie"),
    ],
)
def test_a_movie_that_is_not_the_one_of_its_job_is_told(scene, take, frames, size, told):
    folder = strips.folder_of(take)
    strips.remove(take)
    if frames:
        movie(folder / "clip.mp4", frames, size)
    else:
        (folder / "clip.mp4").write_bytes(b"no movie")
    found = folders.doubt_of(folders.import_take(scene, folder))
    assert (told in found) if told else found is None


def test_importing_says_where_the_take_is_or_what_is_wrong(scene, take, tmp_path):
    folder = strips.folder_of(take)
    compat.strips(scene.sequence_editor).remove(take)
    assert bpy.ops.peekaboo.import_take(directory=str(folder)) == {"FINISHED"}
    assert len(reels.takes(scene)) == 1
    with pytest.raises(RuntimeError, match="is not the folder of a take"):
        bpy.ops.peekaboo.import_take(directory=str(tmp_path))


def test_of_several_takes_none_is_one_that_is_there_or_ordered(scene, tmp_path):
    small_shot(scene)
    scene.peekaboo.output_folder, scene.peekaboo.seed = str(tmp_path), 4

    def seeds_of(*asked):
        made = list(delivery.orders_of(scene, *asked))
        return [order.job["seed"] for order in made], made

    _, [order] = seeds_of()
    (order.folder / "clip.mp4").touch()
    strips.add_clip(scene, order.folder / "clip.mp4", order.job)
    assert seeds_of()[0] == [4]  # as it is set
    found, several = seeds_of(2)
    assert found == [5, 6]
    assert seeds_of(2, [one.job for one in several])[0] == [7, 8]
    scene.objects["Sphere Subject"].location.x += 1  # another shot
    assert seeds_of(2)[0] == [4, 5]
