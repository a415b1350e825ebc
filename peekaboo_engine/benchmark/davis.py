# SPDX-License-Identifier: GPL-3.0-or-later
"""DAVIS as it is downloaded (DAVIS-data.zip of 2016, DAVIS-2017-trainval-480p.zip): its masks as box tracks.

Both have ``Annotations/480p/SEQUENCE/00000.png``, grey (0 and 255) in 2016, with a palette (0, and a number
for each object) in 2017, whose objects are one foreground in DAVIS-16. What is validated is in
``ImageSets/480p/val.txt`` of 2016, as a picture and its annotation a line, and in ``ImageSets/2016/val.txt``
of 2017, as a sequence a line. Neither has captions: a sequence's name stands for its subject, unless a
``captions.json`` beside ``Annotations`` says ``{"blackswan": {"caption": "...", "subject": "..."}}``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..documents import parse_json
from ..errors import EngineError
from ..limits import MAX_LAYOUT_BYTES
from ..places import open_file, read_file
from .tracks import track_of_label

SIZES = ("480p", "1080p", "Full-Resolution")
"""Folders of annotations, the usual one first; boxes are relative to the frame, so each is as good."""


class Caption(BaseModel):
    """What the words of a sequence are."""

    model_config = ConfigDict(extra="forbid")

    caption: str
    subject: str


def annotations_of(folder: Path) -> Path | None:
    """Where a folder of DAVIS has its sequences of masks; None of any other folder."""
    return next((each for size in SIZES if (each := folder / "Annotations" / size).is_dir()), None)


def read_davis(folder: Path) -> tuple[list[tuple[str, Caption, np.ndarray]], str, list[str]]:
    """Read the sequences that are validated in DAVIS-16, or all where no list is there.

    Returns:
        Of each sequence its name, its words, and boxes float64 (frames, 4), relative to the frame, NaN where
        the subject is not seen; the SHA-256 of all masks; and what was found in reading them.

    Raises:
        EngineError: ``layouts_invalid`` for sequences without masks, files that are none, and captions of
            another form.
    """
    annotations = annotations_of(folder)
    assert annotations
    names, findings = _names(folder, annotations)
    captions = _captions(folder)
    if missing := [name for name in names if name not in captions]:
        findings.append(
            f"{len(missing)} of {len(names)} sequences have no caption: their names stand for their subjects"
        )
    digest, read = hashlib.sha256(), []
    for name in names:
        files = sorted((annotations / name).glob("*.png"))
        if not files:
            raise EngineError(
                "layouts_invalid", f"{annotations / name} holds no masks; unpack the download again."
            )
        words = name.replace("-", " ")
        masks = [_foreground(file) for file in files]
        for mask in masks:
            digest.update(np.packbits(mask).tobytes())
        if len({mask.shape for mask in masks}) > 1:
            raise EngineError(
                "layouts_invalid", f"The masks of {annotations / name} differ in size; unpack them again."
            )
        caption = captions.get(name) or Caption(caption=f"a {words}", subject=f"a {words}")
        read.append((name, caption, track_of_label(np.stack(masks).astype(np.uint8), 1)))
    return read, digest.hexdigest(), findings


def _names(folder: Path, annotations: Path) -> tuple[list[str], list[str]]:
    """The sequences to read, and what is to be said of that."""
    for listed in ("2016/val.txt", "480p/val.txt"):
        file = folder / "ImageSets" / listed
        if file.is_file():
            lines = read_file(file, MAX_LAYOUT_BYTES, follow=True).decode(errors="replace").split("\n")
            words = [line.split()[-1] for line in lines if line.strip()]
            named = [Path(word).parent.name if "/" in word else word for word in words]
            return list(dict.fromkeys(named)), []
    found = sorted(path.name for path in annotations.iterdir() if path.is_dir())
    return found, ["no list of sequences to validate (ImageSets): all are taken"]


def _captions(folder: Path) -> dict[str, Caption]:
    file = folder / "captions.json"
    if not file.is_file():
        return {}
    try:
        told = parse_json(read_file(file, MAX_LAYOUT_BYTES, follow=True))
        return TypeAdapter(dict[str, Caption]).validate_python(told)
    except (ValueError, ValidationError) as error:
        raise EngineError(
            "layouts_invalid",
            f'{file} is not of the form {{"blackswan": {{"caption": "...", "subject": "..."}}}}; correct it.',
        ) from error


def _foreground(path: Path) -> np.ndarray:
    """What belongs to any object: bool (height, width)."""
    try:
        with open_file(path, follow=True) as file, Image.open(file, formats=["PNG"]) as picture:
            pixels = np.asarray(picture if picture.mode in ("P", "L", "1") else picture.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EngineError("layouts_invalid", f"{path} is no PNG; unpack the download again.") from error
    return pixels > 0
