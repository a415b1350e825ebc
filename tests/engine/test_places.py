# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders laid out by somebody else: links, pipes, devices, archives and arrays that lie."""

import io
import json
import os
import sys
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from numpy.lib import format as npy
from test_job import other_masks

from peekaboo_engine import limits
from peekaboo_engine.documents import read_json
from peekaboo_engine.errors import EngineError
from peekaboo_engine.job import load_job
from peekaboo_engine.places import Folder, NotPlain, read_file, replacing

posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes, devices and links of POSIX")


def refused(folder):
    with pytest.raises(EngineError) as caught:
        load_job(folder)
    assert "\n" not in caught.value.message
    return caught.value


@posix
@pytest.mark.parametrize("name", ["job.json", "masks.npz"])
@pytest.mark.parametrize("kind", ["pipe", "device", "link", "folder"])
def test_a_job_is_made_of_regular_files(make_job, tmp_path, name, kind):
    folder = make_job()
    path = folder / name
    kept = tmp_path / name
    path.replace(kept)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "link":
            path.symlink_to(kept)
        case "folder":
            path.mkdir()
    error = refused(folder)
    assert error.code == ("bad_job" if name == "job.json" else "bad_masks")
    assert name in error.message and "not a file" in error.message


@posix
def test_a_job_folder_is_no_link(make_job, tmp_path):
    (tmp_path / "linked").symlink_to(make_job())
    assert "is a link" in refused(tmp_path / "linked").message


@posix
def test_a_model_of_a_hubs_cache_may_be_links(tmp_path):
    (tmp_path / "blob").write_text("{}")
    (tmp_path / "config.json").symlink_to("blob")
    assert read_json(tmp_path / "config.json", follow=True) == {}
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "weights").symlink_to("pipe")
    with pytest.raises(NotPlain, match="a pipe"):
        read_file(tmp_path / "weights", 10, follow=True)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"[" * 100_000, "deeper"),
        (b"[" * 33 + b"]" * 33, "deeper"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "deeper"),
        (b" " * (limits.MAX_JSON_BYTES + 1), "more than"),
        (json.dumps({str(i): 1 for i in range(65)}).encode(), "64 keys"),
        (b"\xff\xfe", "not JSON"),
        (b"1" * 5000, "not JSON"),
    ],
)
def test_json_of_a_job_is_neither_deep_nor_long(make_job, text, part):
    folder = make_job()
    (folder / "job.json").write_bytes(text)
    error = refused(folder)
    assert error.code == "bad_job" and part in error.message


def test_many_wrong_values_cost_no_memory(make_job):
    folder = make_job()
    job = json.loads((folder / "job.json").read_text())
    job["timing"]["scene_frames"] = ["x"] * 500_000
    (folder / "job.json").write_text(json.dumps(job))
    tracemalloc.start()
    refused(folder)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def archive(folder, *members, **options):
    with zipfile.ZipFile(folder / "masks.npz", "w", **options) as made:
        for name, data in members:
            made.writestr(name, data)


def array_of(shape, values=b"", descr="|u1"):
    """A file of an array that says to have a shape, whatever it has."""
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + values


def test_masks_are_compared_with_the_job_before_they_are_expanded(make_job):
    """6 MB that expand to 6 GB: the header is enough to refuse them."""
    folder = make_job()
    shape = (16, 4096, 4096)
    archive(folder, ("labels.npy", array_of(shape, bytes(2**28))), compression=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    error = refused(folder)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert error.code == "masks_mismatch" and "(16, 4096, 4096)" in error.message


@pytest.mark.parametrize(
    ("shape", "values"),
    [((5, 64, 96), b""), ((5, 64, 96), bytes(5 * 64 * 96 + 1)), ((5, 64, 96), bytes(5 * 64 * 96 - 1))],
)
def test_an_array_has_the_size_that_it_states(make_job, shape, values):
    folder = make_job()
    archive(folder, ("labels.npy", array_of(shape, values)))
    assert refused(folder).code == "bad_masks"


def test_other_members_of_an_archive_are_not_expanded(make_job, two_boxes):
    folder = make_job()
    good = array_of(two_boxes.shape, two_boxes.tobytes())
    archive(folder, ("bomb.npy", bytes(2**28)), ("labels.npy", good), compression=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    _, labels = load_job(folder)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    np.testing.assert_array_equal(labels, two_boxes)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "masks.npz").write_bytes(b"PK\3\4" + bytes(1000)),
        lambda folder: (folder / "masks.npz").write_bytes(b"no archive at all"),
        lambda folder: np.save((folder / "masks.npz").open("wb"), np.zeros(3)),
        lambda folder: archive(folder, ("labels.npy", b"")),
        lambda folder: archive(folder, ("labels.npy", b"\x93NUMPY\x07\x00" + bytes(100))),
        lambda folder: archive(folder, ("labels.npy", array_of((5, 64, 96), descr="|O"))),
        lambda folder: archive(folder, ("labels.npy", array_of((-1, 64, 96)))),
        lambda folder: archive(folder, ("labels.npy", array_of((2**62, 2**62, 4)))),
        lambda folder: archive(folder, ("labels.npy", array_of((5, 64, 96))), compression=zipfile.ZIP_LZMA),
        lambda folder: archive(folder, *[(f"{i:0200}", b"") for i in range(1000)]),
        other_masks(labels=np.zeros((5, 64, 96), [("a", np.uint8), ("b", "O")])),
    ],
)
def test_masks_that_are_none_are_one_sentence(make_job, spoil):
    folder = make_job()
    spoil(folder)
    assert refused(folder).code in {"bad_masks", "masks_mismatch"}


def test_a_wrong_checksum_is_seen(make_job, two_boxes):
    folder = make_job()
    data = array_of(two_boxes.shape, two_boxes.tobytes())
    archive(folder, ("labels.npy", data))
    raw = (folder / "masks.npz").read_bytes()
    checksum = zlib.crc32(data).to_bytes(4, "little")
    assert raw.count(checksum) == 2
    (folder / "masks.npz").write_bytes(raw.replace(checksum, bytes(4)))
    assert refused(folder).code == "bad_masks"


@posix
def test_what_is_made_in_a_folder_follows_no_link(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "trap").symlink_to(outside)
    (inside / "folder").symlink_to(tmp_path)
    with Folder.opened(inside) as folder:
        with pytest.raises(FileExistsError):
            folder.create("trap")
        with pytest.raises(NotPlain), folder.folder("folder"):
            pass
        folder.create("new").close()
        folder.move("new", folder, "trap")  # takes the link's place
        for name in ("../up", "a/b", "..", "", "a\0b"):
            with pytest.raises(NotPlain):
                folder.create(name)
    assert outside.read_text() == "mine"
    assert not (inside / "trap").is_symlink()


@posix
def test_a_folder_that_was_opened_stays_the_same_one(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "elsewhere").mkdir()
    with Folder.opened(tmp_path / "a") as folder:
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
        folder.create("file").close()
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["file"]
    assert not list((tmp_path / "elsewhere").iterdir())


@posix
def test_a_temporary_name_cannot_be_lain_in_wait_for(tmp_path):
    """Until now it was made of the name and the process's number."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / f".clip.{os.getpid()}.mp4").symlink_to(victim)
    (folder / "clip.mp4").symlink_to(victim)
    with replacing(folder / "clip.mp4") as temporary:
        temporary.write_text("new")
    assert victim.read_text() == "mine"
    assert (folder / "clip.mp4").read_text() == "new" and not (folder / "clip.mp4").is_symlink()
