# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes that somebody has edited: each is refused in a sentence or used, and nothing else happens."""

import io
import json
import os
import random
import re
import shutil
import zipfile
import zlib
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from blender_addon import compat
from blender_addon.errors import PeekabooError
from blender_addon.interface import icons, panels_takes
from blender_addon.making import delivery
from blender_addon.takes import folders, strips

SEEDS = range(int(os.environ.get("PEEKABOO_FUZZ_CASES", "400")))
"""Of the edits; more of them by setting that variable."""

VALUES = [
    None,
    True,
    False,
    -1,
    0,
    1,
    7,
    2**31,
    2**63,
    2**64,
    10**400,
    -0.5,
    1e308,
    float("nan"),
    float("inf"),
]
VALUES += ["", "a", "\0", "\ud800", "\x1b[31m", "../..", "x" * 300, "x" * 20_000]
VALUES += [
    [],
    {},
    [[]],
    {"a": 1},
    [None],
    [1e999],
    [0.5] * 4,
    [{}],
    "HULL",
    "strong",
    {"name": "Ball", "phrase": ""},
]
TEXTS = [
    "",
    "null",
    "[]",
    "{",
    "1",
    '"job"',
    "[" * 100_000,
    '{"a":' * 5000 + "1" + "}" * 5000,
    "1" * 6000,
    "\ufeff{}",
]
OPERATORS = ("restore_settings", "show_masks")


class Layout:
    """Takes down what a panel draws."""

    def __init__(self, texts):
        self._texts = texts

    def __getattr__(self, name):
        def draw(*_, text="", **__):
            self._texts.append(text)
            return self

        return draw


def places_in(data, at=()):
    """The way to each value of nested data."""
    yield at
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from places_in(value, (*at, key))


def edited(job, pick):
    """JSON text of a job with one to three values replaced, removed or added."""
    job = json.loads(json.dumps(job))
    for _ in range(pick.choice((1, 1, 1, 2, 3))):
        *way, last = pick.choice([place for place in places_in(job) if place])
        owner = job
        for key in way:
            owner = owner[key]
        match pick.randrange(5):
            case 0:
                del owner[last]
            case 1 if isinstance(owner, dict):
                owner[pick.choice(("extra", "\x1b]0;", "x" * 500))] = pick.choice(VALUES)
            case _:
                owner[last] = pick.choice(VALUES)
    return json.dumps(job)


def edit_job(take, folder, pick):
    job = dict(strips.job_of(take))
    text = edited(job, pick) if pick.random() < 0.8 else pick.choice(TEXTS)
    if pick.random() < 0.5:  # or they differ, and nothing further is read
        (folder / "job" / "job.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    take[strips.JOB_PROPERTY] = text


def edit_properties(take, folder, pick):
    name = pick.choice((strips.JOB_PROPERTY, strips.FOLDER_PROPERTY))
    take[name] = pick.choice((1, 0.5, [1, 2], {"a": 1}, "", "//", "x" * 5000, "/dev/zero", "//../../nowhere"))
    if pick.random() < 0.5:
        take.filepath = pick.choice(
            ("", "//", "//nowhere/clip.mp4", "/dev/zero", "/" + "x" * 900, "\\\\a\\b")
        )


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def bomb(shape, size=50_000_000):
    """A small archive that says it has labels of a shape, and expands to so many zeros."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("labels.npy", "w") as entry,
    ):
        np.lib.format.write_array_header_1_0(entry, {"descr": "|u1", "fortran_order": False, "shape": shape})
        entry.write(bytes(size))
    return file.getvalue()


def edit_masks(take, folder, pick):
    path = folder / "job" / "masks.npz"
    right, data = (4, 24, 32), bytearray(path.read_bytes())
    for _ in range(pick.randrange(1, 6)):
        data[pick.randrange(len(data))] = pick.randrange(256)
    contents = [
        bytes(data),
        path.read_bytes()[: pick.randrange(400)],
        b"",
        b"PK\5\6" + b"\xff" * 18,
        npz(other=np.zeros(right, np.uint8)),
        npz(labels=np.zeros(right, np.float64)),
        npz(labels=np.zeros((4, 24, 16), np.uint8)),
        npz(labels=np.full(right, 200, np.uint8)),
        npz(labels=np.zeros((0,), np.uint8)),
        npz(labels=np.array([{"an": "object"}], object)),
        bomb((2**20, 2**20, 2**20), 10),
        bomb(right),
        bomb((50, 1000, 1000)),
    ]
    path.write_bytes(pick.choice(contents))


def edit_files(take, folder, pick):
    path = folder / "job" / pick.choice(("job.json", "masks.npz"))
    path.unlink()
    match pick.choice(("pipe", "device", "folder", "nowhere", "gone")):
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "nowhere":
            path.symlink_to(folder / "nowhere")


def edit_folders(take, folder, pick):
    elsewhere = folder.parent / "elsewhere"
    match pick.choice(("masks", "job", "masks file", "picture")):
        case "masks":
            (folder / "masks").symlink_to(elsewhere)
        case "job":
            (folder / "job").rename(elsewhere / "job")
            (folder / "job").symlink_to(elsewhere / "job")
        case "masks file":
            (folder / "masks").write_bytes(b"")
        case "picture":
            (folder / "masks").mkdir()
            (folder / "masks" / "0001.png").symlink_to(elsewhere / "precious")


def edit_thumbnail(take, folder, pick):
    path = folder / "thumbnail.png"
    if pick.random() < 0.3:
        os.mkfifo(path)
        return
    side = pick.choice((1, 64, 2**31 - 1))
    chunks = (
        (b"IHDR", side.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"),
        (b"IDAT", zlib.compress(bytes(10**7))),
    )
    data = icons._SIGNATURE
    for kind, body in chunks:
        data += len(body).to_bytes(4, "big") + kind + body + bytes(4)
    path.write_bytes(data[: pick.randrange(len(data))] if pick.random() < 0.3 else data)


EDITS = [edit_job] * 4 + [edit_properties, edit_masks, edit_masks, edit_files, edit_folders, edit_thumbnail]


def state(scene):
    """All that restoring may set."""
    holders = [scene.peekaboo, *(obj.peekaboo for obj in sorted(scene.objects, key=lambda obj: obj.name))]
    names = [(holder, name) for holder in holders for name in dict(holder.bl_rna.properties)]
    plain = [getattr(holder, name) for holder, name in names if name not in {"rna_type", "color"}]
    return [*plain, scene.frame_start, scene.frame_end, scene.render.fps, scene.render.fps_base]


def press(name):
    """Press a button; returns what it says when it refuses."""
    try:
        getattr(bpy.ops.peekaboo, name)()
    except RuntimeError as error:
        said = str(error)
        assert "Traceback" not in said, said
        return said
    return ""


@pytest.mark.parametrize("edit", dict.fromkeys(EDITS), ids=lambda edit: edit.__name__)
def test_an_edited_take_is_refused_in_a_sentence_or_used(scene, take, tmp_path, edit):
    folder = strips.folder_of(take)
    elsewhere = tmp_path / "elsewhere"
    kept = {name: take[name] for name in (strips.JOB_PROPERTY, strips.FOLDER_PROPERTY)}
    movie, spare = take.filepath, tmp_path / "spare"
    shutil.copytree(folder, spare)
    context = SimpleNamespace(
        scene=scene,
        area=None,
        region=SimpleNamespace(width=400),
        preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1)),
        window_manager=bpy.context.window_manager,
    )
    refusals = 0
    for seed in SEEDS[: len(SEEDS) * EDITS.count(edit) // len(EDITS)]:
        shutil.rmtree(folder)
        shutil.copytree(spare, folder)
        shutil.rmtree(elsewhere, ignore_errors=True)
        elsewhere.mkdir()
        (elsewhere / "precious").write_text("precious")
        take.filepath = movie
        for name, value in kept.items():
            take[name] = value
        edit(take, folder, random.Random(seed))
        icons.icon_of(folder / "thumbnail.png", version=seed + 1)  # a panel reads it once
        before, texts = state(scene), []
        panels_takes.PEEKABOO_PT_takes.draw(SimpleNamespace(layout=Layout(texts)), context)
        assert not any(re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text) for text in texts)
        for name in OPERATORS:
            said = press(name)
            refusals += bool(said)
            if said and name == "restore_settings":
                assert state(scene) == before, said
                assert any("damaged" in text for text in texts)
        try:  # what Retake asks of the engine
            shutil.rmtree(delivery.order_again(scene, take).folder)
        except PeekabooError as error:
            assert "\n" not in str(error)
            refusals += 1
        for strip in list(compat.strips(scene.sequence_editor)):
            if strip != take:
                compat.strips(scene.sequence_editor).remove(strip)
        scene.sequence_editor.active_strip = take
        assert (elsewhere / "precious").read_text() == "precious"
        assert {path.name for path in elsewhere.rglob("*")} <= {"precious", "job", "job.json", "masks.npz"}
    assert refusals or edit is edit_thumbnail


def test_a_job_as_generate_writes_it_is_whole(scene, take):
    job, labels = folders.read(take)
    assert job["num_frames"] == len(labels)
