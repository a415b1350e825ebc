# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks for other programs: at the size of the scene's pictures, for each of its frames.

Either a black-and-white PNG sequence for each subject, or an OpenEXR sequence with the subjects' colours, the
depth and a Cryptomatte (Friedman and Jones, "Fully automatic ID mattes with support for motion blur and
transparency", 2015), whose file Blender itself writes. A pixel is a subject's whole or not at all, as its
centre is.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .. import paths
from ..errors import PeekabooError
from . import cameras, outlines, painting, projection, sampling
from .cast import Cast, Role
from .stage import Stage, render_stage

FAR = 1e10
"""Depth of a pixel in which nothing is seen, as Blender has it."""
LAYER = "Peekaboo"
"""Name of the layer in an OpenEXR file."""
MATTE = f"{LAYER}.CryptoObject"


def write_pngs(
    scene,
    roles: Sequence[Role],
    folder: Path,
    on_frame: Callable[[int, int], None] | None = None,
    on_play: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write ``Ball/Ball.0001.png`` for each subject and frame: white where it is seen, on black.

    Args:
        scene: the user's.
        roles: of its subjects.
        folder: gets a folder for each subject.
        on_frame: called after each frame with its number, from 1, and the number of frames.
        on_play: likewise, for frames that are played for the sake of simulations.

    Returns:
        The folders.

    Raises:
        PeekabooError: the scene cannot be projected, or the pictures cannot be written.
    """
    names = paths.file_names([role.name for role in roles])
    frames = range(scene.frame_start, scene.frame_end + 1, scene.frame_step)
    width, height, aspect = cameras.picture_size(scene.render)

    def write(sampler: sampling.Sampler) -> None:
        for number, frame in enumerate(frames, start=1):
            labels = sampler.label_map(frame, width, height, aspect)
            for label, name in enumerate(names, start=1):
                path = draft / name / f"{name}.{frame:04}.png"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(painting.png(255 * (labels[..., None] == label).astype(np.uint8)))
            if on_frame is not None:
                on_frame(number, len(frames))

    with _draft(folder) as draft:
        sampling.sample_played(scene, roles, frames, write, on_play)
    return [folder / name for name in names]


def write_cryptomatte(
    scene,
    roles: Sequence[Role],
    colors: Sequence[Sequence[float]],
    folder: Path,
    on_frame: Callable[[int, int], None] | None = None,
    on_play: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write ``Scene.0001.exr`` for each frame, 32 bits; arguments and errors as :func:`write_pngs`.

    Args beyond those:
        colors: red, green and blue of each subject, linear.

    Returns:
        The files.
    """
    (name,) = paths.file_names([scene.name])
    frames = range(scene.frame_start, scene.frame_end + 1, scene.frame_step)
    width, height, aspect = cameras.picture_size(scene.render)
    ids = [matte_id(role.name) for role in roles]
    palette = np.array([(0, 0, 0, 0), *((*color, 1) for color in colors)], np.float32)
    matte = np.zeros((len(roles) + 1, 4), np.float32)
    matte[1:, 0], matte[1:, 1] = [identity for _, identity in ids], 1
    key = f"{murmur3(MATTE.encode()):08x}"[:7]
    manifest = {role.name: f"{code:08x}" for role, (code, _) in zip(roles, ids, strict=True)}
    fields = {
        "name": MATTE,
        "hash": "MurmurHash3_32",
        "conversion": "uint32_to_float32",
        "manifest": json.dumps(manifest, ensure_ascii=False),  # as Blender reads it
    }
    cast, done = Cast(scene, roles), 0

    def paint(stage: Stage, frame: int) -> None:
        nonlocal done
        stage.go_to(frame)
        depsgraph = stage.depsgraph
        camera = depsgraph.scene.camera
        view = cameras.view(camera.evaluated_get(depsgraph), depsgraph, scene.render, aspect)
        hides = scene.peekaboo.occluded_by_scene
        hiders = outlines.occluders(depsgraph, cast) if hides else ()
        seen = projection.labelled(view, outlines.shapes_at(cast, depsgraph), width, height, hiders)
        stage.show(
            {
                "Combined": palette[seen.labels],
                "Depth": _depths(seen.nearest, camera.data.type == "ORTHO")[..., None],
                "CryptoObject00": matte[seen.labels],
            },
            {f"cryptomatte/{key}/{field}": value for field, value in fields.items()},
        )
        done += 1
        if on_frame is not None:
            on_frame(done, len(frames))

    seen_by = [cameras.camera_at(scene, frame) for frame in frames]
    with _draft(folder) as draft, sampling.known(scene, roles, frames, on_play):
        staged = sampling.staged_objects(scene, cast, seen_by)
        files = {frame: draft / f"{name}.{frame:04}.exr" for frame in frames}
        render_stage(scene, staged, seen_by[0], paint, files, (width, height), LAYER)
    return [folder / file.name for file in files.values()]


def _depths(keys: np.ndarray, orthographic: bool) -> np.ndarray:
    """Distances along the line of sight: float32 (height, width), from depth keys; see :mod:`.projection`."""
    with np.errstate(divide="ignore"):
        depths = keys if orthographic else -1 / keys
    return np.where(np.isfinite(keys), depths, FAR).astype(np.float32)


def matte_id(name: str) -> tuple[int, float]:
    """The code of a name in a Cryptomatte, and the number that stands for it in the pixels.

    The specification takes the 32 bits of a hash for a number's, and has the exponent make it an ordinary
    one.
    """
    code = murmur3(name.encode())
    if (code >> 23) & 255 in (0, 255):
        code ^= 1 << 23
    return code, float(np.array(code, np.uint32).view(np.float32))


def murmur3(text: bytes) -> int:
    """MurmurHash3 of 32 bits with seed 0 (Austin Appleby)."""
    whole = 0xFFFFFFFF
    padded = text + bytes(-len(text) % 4)
    code = 0
    for start in range(0, len(padded), 4):
        block = int.from_bytes(padded[start : start + 4], "little") * 0xCC9E2D51 & whole
        block = (block << 15 | block >> 17) & whole
        code ^= block * 0x1B873593 & whole
        if start + 4 <= len(text):  # the last bytes, fewer than four, go in without this
            code = (code << 13 | code >> 19) & whole
            code = code * 5 + 0xE6546B64 & whole
    code ^= len(text)
    code = (code ^ code >> 16) * 0x85EBCA6B & whole
    code = (code ^ code >> 13) * 0xC2B2AE35 & whole
    return code ^ code >> 16


@contextmanager
def _draft(folder: Path):
    """A folder whose files go to another one when the block has succeeded."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".peekaboo-", dir=folder))
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        yield draft
        for path in sorted(draft.rglob("*")):
            if path.is_file():
                place = folder / path.relative_to(draft)
                place.parent.mkdir(exist_ok=True)
                path.replace(place)
    except OSError as error:
        raise _unwritable(folder, error) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _unwritable(folder: Path, error: OSError) -> PeekabooError:
    return PeekabooError(
        f'The masks cannot be written to "{folder}" ({error.strerror or error}): choose another folder, or '
        "free some space."
    )
