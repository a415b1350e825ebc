# SPDX-License-Identifier: GPL-3.0-or-later
"""What a camera sees, for other programs: at the size of the scene's pictures, for each of its frames.

A pixel is a subject's whole or not at all, as its centre is, unless edges are smooth or motion blurs. Then it
is a subject's by so much as the subject is seen in it: in all kinds of files alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from .. import paths
from . import cameras, cryptomatte, painting, sampling
from .cast import Cast, Role, names_of
from .geometry import Hulls
from .sampling import Picture, Sampler
from .stage import Stage, render_stage

LAYER = "Peekaboo"
"""Name of the layer in an OpenEXR file."""
MATTE = f"{LAYER}.CryptoObject"
DEEPEST = 65535
"""Of a PNG of 16 bits: white."""


class Writer(Protocol):
    """Writes files of a scene's frames into a folder."""

    def draw(self, frames: Sequence[int], on_frame: Callable[[], None]) -> None:
        """Write the files of some frames; ``on_frame`` is called after each.

        Raises:
            PeekabooError: the scene cannot be projected.
            OSError: a file cannot be written.
        """

    def finish(self) -> list[str]:
        """Write what needs all frames, after the last; returns names of what was written, in the folder."""


class Masks:
    """Writes ``Ball/Ball.0001.png`` for each subject and frame: grey of 8 bits, white where it is seen."""

    def __init__(self, scene, roles: Sequence[Role], folder: Path, smooth: bool):
        """Write the masks of a scene's subjects, with hard edges or smooth ones."""
        self._scene, self._roles, self._folder, self._smooth = scene, roles, folder, smooth
        self._names = paths.file_names(names_of(roles))

    def draw(self, frames: Sequence[int], on_frame: Callable[[], None]) -> None:
        """See :class:`Writer`."""
        width, height, aspect = cameras.picture_size(self._scene.render)

        def write(sampler: Sampler) -> None:
            for frame in frames:
                picture = sampler.picture(frame, width, height, aspect, self._smooth, deep=False)
                for label, name in enumerate(self._names, start=1):
                    path = self._folder / name / f"{name}.{frame:04}.png"
                    path.parent.mkdir(exist_ok=True)
                    share = (picture.samples == label).mean(axis=0, dtype=np.float32)
                    path.write_bytes(painting.png(np.rint(255 * share[..., None]).astype(np.uint8)))
                on_frame()

        sampling.sample(self._scene, self._roles, frames, write)

    def finish(self) -> list[str]:
        """See :class:`Writer`."""
        return self._names


class _Exrs:
    """Writes OpenEXR files of 32 bits, which Blender itself makes of what they show."""

    layer: str | None

    def __init__(
        self, scene, roles: Sequence[Role], folder: Path, smooth: bool, hides: bool | None, name: str
    ):
        self._scene, self._roles, self._folder = scene, roles, folder
        self._smooth, self._hides, self._name = smooth, hides, name
        self._files: list[str] = []

    def draw(self, frames: Sequence[int], on_frame: Callable[[], None]) -> None:
        """See :class:`Writer`."""
        scene = self._scene
        width, height, aspect = cameras.picture_size(scene.render)
        cast, hulls = Cast(scene, self._roles), Hulls()

        def paint(stage: Stage, frame: int) -> None:
            sampler = Sampler(scene, cast, stage, hulls, self._hides)
            picture = sampler.picture(frame, width, height, aspect, self._smooth)
            stage.show(*self._shown(picture, frame))
            on_frame()

        seen_by = [cameras.camera_at(scene, frame) for frame in frames]
        sampling.sample(scene, self._roles, frames, lambda _: None, hides=self._hides)  # is all known?
        files = {frame: self._folder / f"{self._name}.{frame:04}.exr" for frame in frames}
        staged = sampling.staged_objects(scene, cast, seen_by, self._hides)
        render_stage(scene, staged, seen_by[0], paint, files, (width, height), self.layer)
        self._files += [path.name for path in files.values()]

    def finish(self) -> list[str]:
        """See :class:`Writer`."""
        return self._files

    def _shown(self, picture: Picture, frame: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """The passes of a file, and what it says beside them: see :meth:`Stage.show`."""
        raise NotImplementedError


class Cryptomattes(_Exrs):
    """Writes ``Scene.0001.exr`` for each frame: subjects' colours, the depth, and a Cryptomatte."""

    layer = LAYER

    def __init__(
        self, scene, roles: Sequence[Role], folder: Path, smooth: bool, colors: Sequence[Sequence[float]]
    ):
        """Write Cryptomattes of a scene's subjects, whose ``colors`` are red, green and blue, linear."""
        super().__init__(scene, roles, folder, smooth, None, paths.file_names([scene.name])[0])
        codes = {name: cryptomatte.matte_id(name) for name in names_of(roles)}
        self._numbers = [number for _, number in codes.values()]
        self._fields = cryptomatte.fields(MATTE, {name: code for name, (code, _) in codes.items()})
        self._palette = np.array([(0, 0, 0, 0), *((*color, 1) for color in colors)], np.float32)

    def _shown(self, picture: Picture, frame: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        colored = np.zeros((*picture.depths.shape, 4), np.float32)
        for sample in picture.samples:
            colored += self._palette[sample] / len(picture.samples)
        passes = {"Combined": colored, "Depth": picture.depths[..., None]}
        for number, layer in enumerate(cryptomatte.layers(picture.samples, self._numbers)):
            passes[f"CryptoObject{number:02}"] = layer
        return passes, self._fields


class Depths(_Exrs):
    """Writes the depth of all that a render shows, ``Scene_depth/Scene_depth.0001.exr`` and ``.png``.

    In an OpenEXR file it is in the scene's units, in a PNG of 16 bits the nearest of all frames is white, and
    what is furthest, or nothing, black: by the inverse of the distance, as depth estimators state it.
    """

    layer = None

    def __init__(self, scene, roles: Sequence[Role], folder: Path):
        """Write the depth of a scene; subjects have that of their outlines."""
        self._title = f"{paths.file_names([scene.name])[0]}_depth"
        super().__init__(scene, roles, folder / self._title, False, True, self._title)
        self._folder.mkdir()
        self._kept = folder / "depths"  # until the nearest and the furthest of all frames are known
        self._kept.mkdir()

    def _shown(self, picture: Picture, frame: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        np.save(self._kept / f"{frame:04}.npy", picture.depths)
        depth = picture.depths[..., None]
        colored = np.concatenate([depth, depth, depth, depth < sampling.FAR], axis=-1).astype(np.float32)
        return {"Combined": colored}, {}

    def finish(self) -> list[str]:
        """See :class:`Writer`."""
        kept = sorted(self._kept.iterdir())
        ranges = [_range_of(np.load(path)) for path in kept]
        found = [one for one in ranges if one is not None]
        near, far = (min(one[0] for one in found), max(one[1] for one in found)) if found else (1.0, 1.0)
        for path in kept:
            depths = np.load(path)
            bright = np.where(depths < sampling.FAR, _brightness(depths, near, far), 0)
            pixels = np.rint(DEEPEST * bright[..., None]).astype(np.uint16)
            (self._folder / f"{self._title}.{path.stem}.png").write_bytes(painting.png(pixels))
            path.unlink()
        self._kept.rmdir()
        return [self._title]


def _range_of(depths: np.ndarray) -> tuple[float, float] | None:
    seen = depths[depths < sampling.FAR]
    return (float(seen.min()), float(seen.max())) if seen.size else None


def _brightness(depths: np.ndarray, near: float, far: float) -> np.ndarray:
    """1 at the nearest, 0 at the furthest, as the inverse of the distance; 1 where all is as far."""
    if near == far:
        return np.ones_like(depths)
    return np.clip((1 / depths - 1 / far) / (1 / near - 1 / far), 0, 1)
