# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of others that a clip starts from: how they are cut, and which are refused."""

import io
import json
import struct
import zlib

import imageio.v3 as imageio
import numpy as np
import pytest
from hypothesis import given, strategies
from PIL import Image
from tiny.wan import picture

from peekaboo_engine import limits
from peekaboo_engine.errors import EngineError
from peekaboo_engine.given_pictures import filling_box, read_picture
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement
from peekaboo_engine.worker import Worker

SIDES = strategies.integers(1, 20_000)


@given(SIDES, SIDES, SIDES, SIDES)
def test_a_picture_fills_the_frame_from_its_middle_and_keeps_its_shape(width, height, to_width, to_height):
    left, top, right, bottom = filling_box(width, height, to_width, to_height)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert right - left == pytest.approx(width) or bottom - top == pytest.approx(
        height
    )  # nothing more is cut
    assert (right - left) * to_height == pytest.approx((bottom - top) * to_width)
    assert (left + right, top + bottom) == pytest.approx((width, height))


def read(path, width=96, height=64):
    told = []
    return read_picture(path, width, height, told.append), told


def gradient(width, height):
    """Red grows to the right, green downwards: uint8 (height, width, 3)."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)[None]
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return pixels


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_picture_of_the_same_shape_is_taken_whole(tmp_path, suffix):
    path = tmp_path / f"first.{suffix}"
    Image.fromarray(gradient(960, 640)).save(path, quality=95)
    picture, told = read(path)
    assert picture.pixels.size == (96, 64) and picture.pixels.mode == "RGB"
    assert np.abs(np.asarray(picture.pixels).astype(int) - gradient(96, 64)).max() < 8
    assert told == [] and picture.name == path.name and len(picture.sha256) == 64


@pytest.mark.parametrize(("size", "sides"), [((300, 100), "left and right"), ((100, 300), "top and bottom")])
def test_a_picture_of_another_shape_is_cut_not_stretched_and_that_is_said(tmp_path, size, sides):
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    y, x = np.ogrid[: size[1], : size[0]]
    pixels[(x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2 < 30**2] = 255  # a disc in the middle
    Image.fromarray(pixels).save(tmp_path / "first.png")
    picture, told = read(tmp_path / "first.png")
    inside = np.argwhere(np.asarray(picture.pixels)[..., 0] > 127)
    (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0)
    assert abs((bottom - top) - (right - left)) <= 1  # still a disc
    assert abs(top + bottom - 63) <= 1 and abs(left + right - 95) <= 1
    assert len(told) == 1 and sides in told[0] and told[0].endswith(".")


def test_what_is_transparent_is_black_and_that_is_said(tmp_path):
    pixels = np.full((64, 96, 4), 255, np.uint8)
    pixels[:, 48:, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "first.png")
    picture, told = read(tmp_path / "first.png")
    shown = np.asarray(picture.pixels)
    assert shown[:, :47].min() == 255 and shown[:, 49:].max() == 0
    assert len(told) == 1 and "transparent" in told[0]
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "first.png")
    assert read(tmp_path / "first.png")[1] == []


def test_sixteen_bits_of_grey_keep_their_brightness(tmp_path):
    Image.fromarray(np.full((64, 96), 0x8000, np.uint16)).save(tmp_path / "first.png")
    assert np.unique(np.asarray(read(tmp_path / "first.png")[0].pixels)) == 128


def test_a_photograph_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # held a quarter turn to the right
    pixels = np.zeros((96, 64, 3), np.uint8)
    pixels[:, 32:] = 255
    Image.fromarray(pixels).save(tmp_path / "first.jpg", exif=exif)
    shown = np.asarray(read(tmp_path / "first.jpg")[0].pixels)
    assert shown[40:].min() > 200 and shown[:24].max() < 50


def huge(width, height):
    """A PNG that says it has so many pixels, in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def as_gif():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "GIF")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (None, "is missing"),
        (b"", "no PNG or JPEG"),
        (b"a text", "no PNG or JPEG"),
        (as_gif(), "no PNG or JPEG"),
        (huge(9000, 9000), "more than"),
        (huge(2**31 - 1, 2**31 - 1), "no PNG or JPEG"),
        (huge(64, 64), "no PNG or JPEG"),  # it ends too soon
        (b"\x89PNG\r\n\x1a\n" + b"x" * limits.MAX_PICTURE_BYTES, "bytes"),
    ],
    ids=["missing", "empty", "text", "gif", "huge", "vast", "cut short", "heavy"],
)
def test_what_is_no_picture_is_refused_in_a_sentence(tmp_path, data, part):
    path = tmp_path / "first.png"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(EngineError, match=part) as caught:
        read(path)
    assert caught.value.code == "bad_picture" and caught.value.message.endswith(".")


def test_a_link_is_not_followed(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png")
    (tmp_path / "first.png").symlink_to(tmp_path / "other.png")
    with pytest.raises(EngineError, match="link") as caught:
        read(tmp_path / "first.png")
    assert caught.value.code == "bad_picture"


class Listener:
    """Keeps what it is told."""

    def __init__(self, told):
        self._told = told

    def __getattr__(self, kind):
        return lambda *args, **fields: self._told.append((kind, args))


@pytest.mark.slow
def test_the_first_frame_of_the_clip_is_the_picture(tmp_path, make_job):
    """On the autoencoder of ``solids``, whose denoiser was trained for nothing of the kind, pasted in."""
    own = find_model("solids")
    model = tmp_path / "solids"
    model.mkdir()
    for path in own.folder.iterdir():
        if path.is_dir():  # files are written here, and must not be the repository's
            (model / path.name).symlink_to(path)
    index = json.loads((own.folder / "model_index.json").read_text()) | {"expand_timesteps": True}
    (model / "model_index.json").write_text(json.dumps(index))
    (model / "peekaboo.json").write_text(json.dumps({"max_sequence_length": own.max_sequence_length}))
    size = {"width": 288, "height": 160, "num_frames": 5}
    labels = np.zeros((5, 160, 288), np.uint8)
    labels[:, 40:90, 20:80], labels[:, 60:120, 180:240] = 1, 2
    times = {"frame_start": 1, "frame_count": 5, "fps": 16, "fps_base": 1.0, "scene_frames": [1.0] * 5}
    folder = make_job(
        labels=labels, model=str(model), timing=times, first_frame="first.png", num_inference_steps=2, **size
    )
    wide = picture(3).resize((600, 160), Image.Resampling.BICUBIC)
    wide.save(folder / "first.png")
    told = []
    assert Worker(Placement(device="cpu")).run(folder, tmp_path / "out", Listener(told), lambda: False), told
    first = next(iter(imageio.imiter(tmp_path / "out" / "clip.mp4"))).astype(float)
    shown = np.asarray(wide.crop((156, 0, 444, 160))).astype(float)  # the middle of it
    assert np.abs(first - shown).mean() < 20 < np.abs(first - shown[:, ::-1]).mean() / 2
    assert sum("cut off at the left and right" in str(each) for each in told) == 1


@pytest.mark.parametrize("clear", [None, 7, 40_000])
def test_a_grey_picture_of_16_bits_is_scaled_also_where_a_shade_is_transparent(tmp_path, clear):
    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    path = tmp_path / "grey.png"
    row = b"\0" + struct.pack(">H", 40_000) * 96
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 96, 64, 16, 0, 0, 0, 0))
        + (b"" if clear is None else chunk(b"tRNS", struct.pack(">H", clear)))
        + chunk(b"IDAT", zlib.compress(row * 64))
        + chunk(b"IEND", b"")
    )
    picture, told = read(path)
    assert np.unique(np.asarray(picture.pixels)).tolist() == [0 if clear == 40_000 else 40_000 >> 8]
    assert bool(told) == (clear == 40_000)
