# SPDX-License-Identifier: GPL-3.0-or-later
"""What a clip starts from and ends with: as a shot's settings say, in its job, and back from its take."""

import json

import bpy
import numpy as np
import pytest
from scenes import small_shot

from blender_addon.borders.documents import read_json
from blender_addon.errors import PeekabooError
from blender_addon.making import delivery
from blender_addon.masks.still import render_still
from blender_addon.shot import pictures, restoring
from blender_addon.shot.job import make_job
from blender_addon.shot.layout import read_shot
from blender_addon.takes import strips

PNG = b"\x89PNG\r\n\x1a\n and so on"


@pytest.fixture
def model(tmp_path):
    """A function that makes the folder of a model, whose first and last frame are as told: its path."""

    def make(first="taken", last="none"):
        folder = tmp_path / f"model_{first}_{last}"
        folder.mkdir()
        (folder / "model_index.json").write_text(json.dumps({"_class_name": "WanVACEPipeline"}))
        (folder / "vae").mkdir()
        (folder / "vae" / "config.json").write_text("{}")
        entry = {"width": 96, "height": 64, "num_frames": 5, "first_frame": first, "last_frame": last}
        (folder / "peekaboo.json").write_text(json.dumps(entry))
        return str(folder)

    return make


@pytest.fixture
def shot(scene, model, tmp_path):
    small_shot(scene)
    scene.peekaboo.model, scene.peekaboo.output_folder = model(), str(tmp_path / "clips")
    scene.peekaboo.seed_mode, scene.peekaboo.seed = "FIXED", 7
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    return scene


@pytest.mark.parametrize(
    ("start_from", "first", "last", "part"),
    [
        ("text", "none", "none", None),
        ("text", "taken", "none", None),
        ("text", "needed", "none", "starts from a picture"),
        ("rendered", "none", "none", "takes no first frame"),
        ("rendered", "needed", "taken", None),
        ("picture", "none", "none", "takes no first frame"),
        ("picture", "taken", "none", "no picture to start from"),
        ("rendered", "needed", "needed", "needs a last frame"),
    ],
)
def test_what_does_not_go_with_the_model_is_said_before(shot, model, start_from, first, last, part):
    shot.peekaboo.start_from = start_from
    if (first, last) != ("taken", "none"):
        shot.peekaboo.model = model(first, last)
    problem = pictures.problem(shot)
    if part is None:
        assert problem is None
    else:
        assert part in problem and problem.endswith(".") and ". " not in problem
        with pytest.raises(PeekabooError, match=part):
            next(delivery.orders_of(shot))


def test_models_of_the_catalogue_say_what_they_start_from(scene):
    found = {}
    for name in ("shapes", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b"):
        scene.peekaboo.model, scene.peekaboo.start_from = name, "text"
        from_text = pictures.problem(scene)
        scene.peekaboo.start_from = "rendered"
        found[name] = from_text is None, pictures.problem(scene) is None
    assert found == {
        "shapes": (True, False),
        "wan2.2-i2v-a14b": (False, True),
        "wan2.2-ti2v-5b": (True, True),
    }


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        ("missing.png", None, "cannot be read"),
        ("text.png", b"a text", "neither PNG nor JPEG"),
        ("heavy.png", PNG + bytes(pictures.job_schema.MAX_PICTURE), "bytes"),
        ("folder.png", "folder", "folder"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(shot, tmp_path, name, data, part):
    path = tmp_path / name
    if data == "folder":
        path.mkdir()
    elif data is not None:
        path.write_bytes(data)
    shot.peekaboo.start_from, shot.peekaboo.picture = "picture", str(path)
    with pytest.raises(PeekabooError, match=part):
        next(delivery.orders_of(shot))
    assert not (tmp_path / "clips").exists()


def test_a_picture_goes_into_the_job_and_comes_back(shot, tmp_path):
    path = tmp_path / "mine.png"
    path.write_bytes(PNG)
    shot.peekaboo.start_from, shot.peekaboo.picture = "picture", str(path)
    order = next(delivery.orders_of(shot))
    job = read_json(order.folder / "job" / "job.json")
    assert job["start_from"] == "picture"
    assert (order.folder / "job" / job["first_frame"]).read_bytes() == PNG
    (order.folder / "clip.mp4").write_bytes(b"")
    path.unlink()  # the user's file is another by now
    shot.peekaboo.start_from, shot.peekaboo.picture = "text", ""
    assert restoring.restore(shot, job, order.folder / "job") == []
    again = next(delivery.orders_of(shot))
    assert read_json(again.folder / "job" / "job.json") == job
    assert "gone" in restoring.restore(shot, job, tmp_path)[0]


def test_a_picture_that_came_back_moves_with_its_file(shot, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    shot = bpy.context.scene
    (tmp_path / "take").mkdir()
    (tmp_path / "take" / "first.png").write_bytes(PNG)
    job = {**make_job(shot, read_shot(shot), 7), "start_from": "picture", "first_frame": "first.png"}
    assert restoring.restore(shot, job, tmp_path / "take") == []
    assert shot.peekaboo.picture == "//take/first.png"


def test_another_picture_is_another_job(tmp_path):
    for number, data in enumerate((PNG, PNG + b"!", b"\xff\xd8\xff")):
        (tmp_path / str(number)).write_bytes(data)
    names = [pictures.read(tmp_path / str(number)).name for number in range(3)]
    assert len(set(names)) == 3 and names[2].endswith(".jpg")


def test_a_picture_that_was_replaced_in_a_take_is_refused(tmp_path):
    (tmp_path / "mine").write_bytes(PNG)
    picture = pictures.read(tmp_path / "mine")
    job = {"first_frame": picture.name}
    (tmp_path / picture.name).write_bytes(PNG)
    assert pictures.of_job(job, tmp_path) == {"first_frame": picture}
    (tmp_path / picture.name).write_bytes(PNG + b"!")
    with pytest.raises(PeekabooError, match="replaced"):
        pictures.of_job(job, tmp_path)
    (tmp_path / picture.name).unlink()
    with pytest.raises(PeekabooError, match="cannot be read"):
        pictures.of_job(job, tmp_path)
    assert pictures.of_job({}, tmp_path) == {}


def test_a_rendered_frame_is_what_the_scene_shows_at_the_first_time_of_the_masks(shot, tmp_path):
    shot.frame_end = 10  # two scene frames for each of the model's: the first is looked at between them
    shot.peekaboo.start_from = "rendered"
    order = next(delivery.orders_of(shot))
    job = read_json(order.folder / "job" / "job.json")
    assert job["timing"]["scene_frames"][0] == 1.5
    render_still(shot, 1.5, (96, 64), tmp_path / "same.png")
    made, wanted = (
        pixels(path) for path in (order.folder / "job" / job["first_frame"], tmp_path / "same.png")
    )
    np.testing.assert_allclose(made, wanted, atol=1 / 255)


def pixels(path):
    image = bpy.data.images.load(str(path))
    width, height = image.size
    return np.array(image.pixels).reshape(height, width, -1)


def test_a_retake_starts_from_the_picture_of_the_take(shot, tmp_path):
    path = tmp_path / "mine.png"
    path.write_bytes(PNG)
    shot.peekaboo.start_from, shot.peekaboo.picture = "picture", str(path)
    order = next(delivery.orders_of(shot))
    path.write_bytes(PNG + b"!")
    (order.folder / "clip.mp4").touch()
    strip = strips.add_clip(shot, order.folder / "clip.mp4", order.job)
    again = delivery.order_again(shot, strip)
    assert again.job["first_frame"] == order.job["first_frame"]
    assert (again.folder / "job" / again.job["first_frame"]).read_bytes() == PNG


@pytest.mark.parametrize(
    ("start_from", "end_with", "last", "part"),
    [
        ("picture", "picture", "taken", None),
        ("rendered", "rendered", "needed", None),
        ("rendered", "rendered", "none", "takes no last frame"),
        ("rendered", "nothing", "needed", "needs a last frame"),
        ("text", "rendered", "taken", "starts with one, too"),
        ("rendered", "picture", "taken", "no picture to end with"),
    ],
)
def test_what_does_not_go_with_a_last_frame_is_said(shot, model, tmp_path, start_from, end_with, last, part):
    if last != "none":
        shot.peekaboo.model = model("taken", last)
    shot.peekaboo.start_from, shot.peekaboo.end_with = start_from, end_with
    shot.peekaboo.picture = str(tmp_path / "mine.png")
    if part is None:
        shot.peekaboo.last_picture = str(tmp_path / "mine.png")
    problem = pictures.problem(shot)
    assert problem is None if part is None else part in problem and problem.endswith(".")


def test_both_ends_of_a_clip_are_rendered_at_their_times_and_come_back(shot, model, tmp_path):
    shot.peekaboo.model = model("taken", "taken")
    shot.peekaboo.start_from = shot.peekaboo.end_with = "rendered"
    shot.world = bpy.data.worlds.new("World")
    for frame, grey in ((1, 0.0), (shot.frame_end, 0.5)):
        shot.world.color = (grey, grey, grey)
        shot.world.keyframe_insert("color", frame=frame)
    order = next(delivery.orders_of(shot))
    job = read_json(order.folder / "job" / "job.json")
    times = job["timing"]["scene_frames"]
    assert pictures.rendered_times(shot, times) == [times[0], times[-1]]
    means = [pixels(order.folder / "job" / job[field])[..., :3].mean() for field in pictures.FIELDS]
    assert means[0] < 0.1 and means[1] > 0.4
    assert job["first_frame"] != job["last_frame"] and job["end_with"] == "rendered"
    (order.folder / "clip.mp4").touch()
    strip = strips.add_clip(shot, order.folder / "clip.mp4", order.job)
    again = delivery.order_again(shot, strip)
    assert (again.folder / "job" / job["last_frame"]).is_file()
    shot.peekaboo.end_with = "nothing"
    assert restoring.restore(shot, job, order.folder / "job") == [] and shot.peekaboo.end_with == "rendered"
