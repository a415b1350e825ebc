# SPDX-License-Identifier: GPL-3.0-or-later
"""From a scene to orders, and from an order whose clip is there to its strip.

The same steps, whether a timer looks after the engine or a command waits for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import bpy
import numpy as np

from .. import changes, compat
from ..engine import catalogue
from ..engine.orders import Order, Outcome, duration
from ..errors import PeekabooError
from ..shot import check, loras, pictures, schedule, seeds, shots
from ..shot.job import make_job, picture_of, write_job
from ..shot.model import is_of_others, model_of
from ..shot.shots import Shot
from ..takes import finishing, folders, reels, strips


def orders_of(
    scene,
    count: int = 1,
    ordered: Iterable[dict] = (),
    chosen: Sequence[Shot] | None = None,
    rendered: Mapping[float, pictures.Picture] = {},
) -> Iterator[Order]:
    """Order takes of a scene's shots as they are now, each with a seed of its own.

    What is wrong with any of them shows before the first is ordered.

    A single one has the seed that is set, and may be the same clip again. Of several, none is one that is
    there or ordered already.

    Args:
        scene: the user's.
        count: how many of each shot.
        ordered: the jobs of those that wait to be made.
        chosen: the shots; those that are enabled by default.
        rendered: first frames that were rendered already, by their times.

    Raises:
        PeekabooError: what keeps a shot from being made.
    """
    pictures.check(scene)  # before what takes long
    schedule.check(scene)
    loras.check_here(scene)
    catalogue.check_downloaded(model_of(scene))
    folders.check_writable(scene)
    chosen = shots.enabled(scene) if chosen is None else chosen
    layouts = [check.read_shot(scene, shot) for shot in chosen]
    given = [pictures.of(scene, layout.timing.scene_frames, rendered) for layout in layouts]
    known = list(ordered) if count > 1 else []
    for shot, layout, shown in zip(chosen, layouts, given, strict=True):
        jobs = (make_job(scene, layout, seed, shown, shot) for seed in seeds.further_seeds(scene, shot))
        wanted = (
            job
            for job in jobs
            if count == 1 or not (job in known or folders.has_take(scene, job, layout.labels))
        )
        for job in islice(wanted, count):
            yield order(scene, job, layout.labels, given=shown, title=shot.title)


def order_again(scene, strip, used: Iterable[int] = ()) -> Order:
    """Order what made a strip once more, with a new seed; the clip will lie above the strip.

    Args:
        scene: that the strip is a take of.
        strip: a take.
        used: seeds that other takes will have.

    Raises:
        PeekabooError: the strip does not remember how it was made, or its model is on another machine.
    """
    job, labels = folders.read(strip)
    if is_of_others(scene, job["model"]):
        raise PeekabooError(
            f'The model of "{strip.name}" is on another machine, "{job["model"]}": where you trust whoever '
            "made the take, type that path in Model, and press Retake again."
        )
    catalogue.check_downloaded(job["model"])
    made_from = strips.folder_of(strip) / "job"
    given = pictures.of_job(job, made_from)
    source = made_from / job["source_clip"] if job.get("source_clip") else None
    start, end = compat.strip_range(strip)
    title = shots.title_at(scene, start, end - 1)
    used = [*used, *strips.seeds(strip.id_data)]
    job = job | {"seed": seeds.unused_seed(scene, used)}
    where = compat.content_start(strip)
    return order(scene, job, labels, frame_start=where, given=given, source=source, title=title)


def order_finish(scene, strip, finish: dict[str, bool]) -> Order:
    """Order the clip of a take to be finished, beside the one that it has.

    Args:
        scene: that the strip is a take of.
        strip: a take.
        finish: whether to smooth and to enlarge it; one of them at least.

    Raises:
        PeekabooError: the take is damaged or gone.
    """
    job, _ = folders.read(strip)
    stated = finish | (picture_of(scene) if finish["enlarge"] else {})
    shown = f"{strip.name}, finished"
    return Order(scene.session_uid, shown, job, strips.folder_of(strip), keeps_folder=True, finish=stated)


def order(
    scene,
    job: dict,
    labels: np.ndarray,
    folder: Path | None = None,
    frame_start: int | None = None,
    given: Mapping[str, pictures.Picture] = {},
    source: Path | None = None,
    title: str = "",
) -> Order:
    """Write what the engine is to read, and order the clip.

    Args:
        scene: that gets it.
        job: as ``job.json`` states it.
        labels: uint8 (frames, height, width).
        folder: of the take, which the user has chosen; a new one of the scene's by default.
        frame_start: where the clip goes, if not where the job says.
        given: the pictures that the job names, by its fields.
        source: the clip that it names.
        title: of the shot, where the scene has several.

    Raises:
        PeekabooError: the folder cannot be written.
    """
    own = folder is None
    folder = folders.new_folder(scene, title) if folder is None else folder
    try:
        write_job(job, labels, folder / "job", given, source)
    except PeekabooError:
        if own:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shown = f"{title or scene.name}, seed {job['seed']}"
    return Order(scene.session_uid, shown, job, folder, frame_start, keeps_folder=not own, shot=title)


def scene_of(order: Order):
    """The scene that gets the clip of an order; None where it is gone."""
    return next((scene for scene in bpy.data.scenes if scene.session_uid == order.scene), None)


def make_room(order: Order) -> bool:
    """Make the scene for the clip of an order, if it is to have one of its own; returns whether it was made.

    Blender draws all windows anew for that. Where it does so before the clip comes, it need not draw
    viewports from the start, as it would after.
    """
    scene = scene_of(order)
    if scene is None or order.finish is not None or reels.holder_of(scene) is not None:
        return False
    with changes.updates_ignored():
        reels.prepare(scene)
    return True


def deliver(order: Order, has_new_room: bool = False) -> Outcome:
    """Put the clip of an order into its scene's sequencer; returns what is to be said of it.

    Args:
        order: whose clip is there.
        has_new_room: what :func:`make_room` has said, which goes again where this fails.

    Raises:
        PeekabooError: the scene is gone, or has no room for it; the clip is kept.
    """
    assert order.clip is not None
    clip = order.clip.clip
    scene = scene_of(order)
    if scene is None:
        raise PeekabooError(f'The scene of the clip is gone: the clip itself is at "{clip}".')
    if order.finish is not None:
        return _deliver_finished(order, scene)
    with changes.updates_ignored(), reels.prepared(scene, has_new_room) as holder:
        strip = strips.add_clip(holder, clip, order.job, order.frame_start, order.shot)
    start, end = compat.strip_range(strip)
    owner = f' of "{holder.name}"' if len(bpy.data.scenes) > 1 else ""
    what = "picture" if strip.type == "IMAGE" else "clip"
    text = (
        f"The {what} is in channel {strip.channel} of the sequencer{owner}, frames {start} to {end - 1}, "
        f"after {duration(order.seconds)}."
    )
    if order.unfinished:
        text = f"{order.unfinished} The {what} is there as the model made it. {text}"
    failed = bool(order.unfinished) and order.cancelled is None
    return Outcome(text, failed=failed, folder=order.folder)


def _deliver_finished(order: Order, scene) -> Outcome:
    """Let the strips of a take show its clip as it was finished; raises as :func:`deliver`."""
    assert order.clip is not None and order.finish is not None
    takes = [take for take in reels.takes(scene) if strips.folder_of(take) == order.folder]
    if not takes:
        raise PeekabooError(f'The take is gone: its clip, finished, is at "{order.clip.clip}".')
    with changes.updates_ignored():
        for take in takes:
            finishing.show(take, order.clip.clip)
    text = f'"{takes[0].name}" shows its clip as it was finished, after {duration(order.seconds)}.'
    return Outcome(text, folder=order.folder)
