# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures that a clip starts from or ends with: a stranger's file, cut to the frame of the clip.

Only PNG and JPEG are decoded, whatever a file is called, and nothing is expanded before its size is known.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from . import limits
from .errors import EngineError, one_line
from .places import read_file


@dataclass(frozen=True, eq=False)
class GivenPicture:
    """A picture as the pipeline is given it.

    Args:
        name: of its file.
        sha256: of the bytes of its file.
        pixels: RGB, of the size of the clip.
    """

    name: str
    sha256: str
    pixels: Image.Image


def read_picture(path: Path, width: int, height: int, notice: Callable[[str], None]) -> GivenPicture:
    """Read a picture and cut it to fill a frame: as large as it can be, the same left out on both sides.

    Args:
        path: of a PNG or JPEG.
        width, height: of the clip.
        notice: told in a sentence what of the picture is left out.

    Raises:
        EngineError: ``bad_picture``; names the file.
    """
    try:
        data = read_file(path, limits.MAX_PICTURE_BYTES)
    except FileNotFoundError:
        raise EngineError("bad_picture", f"{path} is missing; give the job its picture again.") from None
    except OSError as error:
        raise EngineError(
            "bad_picture",
            f"{path} could not be read ({error.strerror or one_line(error)}); give another picture.",
        ) from None
    picture = _decoded(path, data)
    seen, transparent = _flattened(picture)
    if transparent:
        notice(f"{path.name} is transparent in places, which are taken as black.")
    box = filling_box(*seen.size, width, height)
    left_out = 1 - (box[2] - box[0]) * (box[3] - box[1]) / (seen.width * seen.height)
    if left_out > 0.01:
        sides = "at the left and right" if box[0] > 0 else "at the top and bottom"
        notice(
            f"{path.name} has {seen.width} x {seen.height} pixels, another shape than the clip's {width} x "
            f"{height}: it fills the frame, and {left_out:.0%} of it is cut off {sides}."
        )
    pixels = seen.resize((width, height), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return GivenPicture(path.name, hashlib.sha256(data).hexdigest(), pixels)


def filling_box(width: int, height: int, to_width: int, to_height: int) -> tuple[float, float, float, float]:
    """The largest part of a picture that has the shape of a frame, from its middle.

    Args:
        width, height: of the picture, in pixels.
        to_width, to_height: of the frame.

    Returns:
        Left, top, right, bottom in pixels of the picture.
    """
    scale = min(width / to_width, height / to_height)
    across, down = min(width, to_width * scale), min(height, to_height * scale)
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down


def _decoded(path: Path, data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes have a limit of our own
            picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        if picture.width * picture.height > limits.MAX_PICTURE_PIXELS:
            raise EngineError(
                "bad_picture",
                f"{path} has {picture.width} x {picture.height} pixels, more than "
                f"{limits.MAX_PICTURE_PIXELS} together; give a smaller picture.",
            )
        return ImageOps.exif_transpose(picture)  # upright, as a camera says that it was held
    except EngineError:
        raise
    except Exception as error:  # damaged bytes raise a dozen kinds
        raise EngineError(
            "bad_picture",
            f"{path} is no PNG or JPEG that can be read ({one_line(error)}); give another picture.",
        ) from None


def _flattened(picture: Image.Image) -> tuple[Image.Image, bool]:
    """RGB, over black where a picture is transparent, and whether it is that anywhere."""
    if picture.mode.startswith("I"):  # 16 bits of grey, which PIL would clip instead of scaling
        return _of_16_bits(picture)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        below = Image.new("RGBA", layer.size, (0, 0, 0, 255))
        return Image.alpha_composite(below, layer).convert("RGB"), bool(
            (np.asarray(layer)[..., 3] < 255).any()
        )
    return picture.convert("RGB"), False


def _of_16_bits(picture: Image.Image) -> tuple[Image.Image, bool]:
    """As :func:`_flattened`, of a grey picture, of which one shade may be transparent."""
    shades = np.asarray(picture).astype(np.int64)
    clear = shades == picture.info.get("transparency")
    grey = np.where(clear, 0, shades >> 8).clip(0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB"), bool(clear.any())
