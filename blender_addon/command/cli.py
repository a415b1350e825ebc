# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``blender shot.blend --command peekaboo``; what it generates with, scripts share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from .. import paths, saving
from ..borders import places
from ..engine import catalogue, environment, process, torch_builds, whereabouts
from ..engine.orders import Order
from ..errors import PeekabooError
from ..making import batch, delivery, downloading, engine_choice
from ..making.set_up import installation, wait
from ..masks import painting
from ..shot import findings, loras, pictures, schedule, seeds, shots
from ..shot.job import make_job
from ..shot.layout import Layout, mapping_in_words, read_shot
from ..shot.mattes import KINDS, write_mattes
from ..shot.model import model_of
from ..shot.shots import Shot
from ..shot.subjects import colors_of
from ..takes import folders
from . import drafting, farming, options, program
from .console import Console

IDLE_SECONDS = 3600.0
"""How long an engine may be without an order: as long as a scene takes to be read between two clips."""


def generate(asked: argparse.Namespace, online: bool = False) -> None:
    """Make a clip of each shot of each scene with each seed.

    Args:
        asked: as :func:`add_generate` describes it; what is left out stays as the scene has it.
        online: whether the engine may download a model though Blender does not say so.

    Raises:
        PeekabooError: not all clips are there.
    """
    scenes, made = options.chosen_scenes(asked.scene), 0
    if asked.save and not bpy.data.filepath:
        raise PeekabooError("The scene was never saved to a file: give a .blend, or leave out --save.")
    if asked.save:
        saving.check_savable(Path(bpy.data.filepath))
    console = Console(asked.json)
    device = torch_builds.torch_device(_device(asked))
    settings = process.EngineSettings(
        _engine_python(asked), online or engine_choice.may_go_online(), IDLE_SECONDS, device
    )
    try:
        with options.overridden(scenes, asked):
            for scene in scenes:
                catalogue.check_downloaded(model_of(scene))
                loras.check_here(scene)
            orders = (order for order, _ in _orders(scenes, asked, console))
            for order in batch.make(orders, settings, console.say):
                made += 1
                console.result(
                    f"clip {order.clip.clip}",
                    "clip",
                    scene=delivery.scene_of(order).name,
                    shot=order.shot,
                    seed=order.job["seed"],
                    clip=str(order.clip.clip),
                    info=str(order.clip.info),
                    seconds=order.clip.seconds,
                )
    finally:
        if asked.save and made:
            saving.save_blend(Path(bpy.data.filepath))
            console.result(f"saved {bpy.data.filepath}", "file", file=bpy.data.filepath)


def _orders(scenes: list, asked: argparse.Namespace, console: Console) -> Iterator[tuple[Order, Layout]]:
    """What is to be made; folders come into being one by one, as their clips are begun."""
    for scene in scenes:
        folders.check_writable(scene, paths.absolute(asked.out) if asked.out else None)
    chosen = [(scene, shot) for scene in scenes for shot in options.chosen_shots(scene, asked)]
    layouts = [_read(*each, console) for each in chosen]  # what is wrong shows before all work
    given = [_pictures(scene, each, console) for (scene, _), each in zip(chosen, layouts, strict=True)]
    names = paths.file_names([folders.name_of(scene, shot.title) for scene, shot in chosen])
    clips = [
        (scene, shot, name, layout, shown, seed)
        for (scene, shot), name, layout, shown in zip(chosen, names, layouts, given, strict=True)
        for seed in asked.seeds or seeds.seeds(scene, shot=shot)
    ]
    for scene, shot, name, layout, shown, seed in clips:
        folder = _clip_folder(asked.out, f"{name}_seed_{seed}" if len(clips) > 1 else "")
        job = make_job(scene, layout, seed, shown, shot)
        made = delivery.order(scene, job, layout.labels, folder, given=shown, title=shot.title)
        yield made, layout


def _pictures(scene, layout: Layout, console: Console) -> dict[str, pictures.Picture]:
    times = layout.timing.scene_frames
    for time in pictures.rendered_times(scene, times):
        console.say(f"rendering frame {time:g}")
    return pictures.of(scene, times)


def _read(scene, shot: Shot, console: Console) -> Layout:
    pictures.check(scene)
    schedule.check(scene)
    return read_shot(
        scene,
        lambda done, total: console.say(f"masks {done}/{total}"),
        lambda done, total: console.say(f"simulation {done}/{total}"),
        shot,
    )


def _engine_python(asked: argparse.Namespace) -> Path:
    return whereabouts.find_python(asked.python) if asked.python else engine_choice.engine_python()


def _device(asked: argparse.Namespace) -> str:
    return asked.device or engine_choice.device()


def _clip_folder(out: Path | None, name: str) -> Path | None:
    return None if out is None else paths.absolute(out) / name


def masks(asked: argparse.Namespace) -> None:
    """Write each scene's job folder, which an engine elsewhere can take, and pictures of its masks.

    Raises:
        PeekabooError: what keeps a job from being made.
    """
    console = Console(asked.json)
    scenes = options.chosen_scenes(asked.scene)
    with options.overridden(scenes, asked):
        for order, layout in _orders(scenes, asked, console):
            scene, job, drawings = delivery.scene_of(order), order.folder / "job", order.folder / "masks"
            if places.is_link(drawings):
                raise PeekabooError(
                    f'"{drawings}" is a link to another folder: remove it, or choose another.'
                )
            colors = colors_of(scene, [subject.name for subject in layout.subjects])
            painted = (painting.flat(labels, colors) for labels in layout.labels)
            drawn = painting.write(painted, drawings) if asked.pictures else []
            console.result(
                f"job {job}",
                "job",
                scene=scene.name,
                shot=order.shot,
                seed=order.job["seed"],
                job=str(job),
                pictures=list(map(str, drawn)),
                warnings=_warnings(scene, layout, console),
            )


def mattes(asked: argparse.Namespace) -> None:
    """Write masks for other programs: each scene's own frames, at the size of its pictures.

    Raises:
        PeekabooError: a scene cannot be projected, or its masks cannot be written.
    """
    console, scenes = Console(asked.json), options.chosen_scenes(asked.scene)
    for scene in scenes:
        folder = paths.absolute(asked.out)
        folder = folder / folders.name_of(scene) if len(scenes) > 1 else folder
        written = write_mattes(
            scene,
            asked.format,
            folder,
            lambda done, total: console.say(f"frame {done}/{total}"),
            lambda done, total: console.say(f"simulation {done}/{total}"),
            asked.smooth,
        )
        for path in written:
            console.result(f"masks {path}", "masks", scene=scene.name, path=str(path))


def check(asked: argparse.Namespace) -> None:
    """Say what the engine runs with, and what may be wrong with the scenes that have subjects.

    Raises:
        PeekabooError: what is missing; of the engine, once the scenes were looked at.
    """
    console, scenes = Console(asked.json), options.chosen_scenes(asked.scene)
    missing: PeekabooError | None = None
    try:
        ready = environment.check(_engine_python(asked), _device(asked))
        console.result(ready, "engine", text=ready)
    except PeekabooError as error:
        missing = error
    for scene in scenes:
        if asked.scene or any(obj.peekaboo.is_subject for obj in scene.objects):
            for shot in shots.enabled(scene):
                layout = read_shot(scene, shot=shot)
                mapping = mapping_in_words(layout.timing, len(layout.labels))
                of = f', shot "{shot.title}"' if shot.title else ""
                console.result(
                    f'scene "{scene.name}"{of}: {mapping}',
                    "scene",
                    scene=scene.name,
                    shot=shot.title,
                    frames=mapping,
                    warnings=_warnings(scene, layout, console),
                )
    if missing is not None:
        raise missing


def _warnings(scene, layout: Layout, console: Console) -> list[str]:
    smallest = catalogue.smallest_subject(model_of(scene))
    texts = [finding.text for finding in findings.of_shot(scene, layout, smallest)]
    for text in texts:
        console.say(f"warning: {text}")
    return texts


def set_up(asked: argparse.Namespace) -> None:
    """Make or complete the engine's own environment.

    Raises:
        PeekabooError: there is no usable environment.
    """
    console = Console(asked.json)
    task = environment.Task(installation(_device(asked)))
    ready = wait(task, console.say)
    console.result(ready, "engine", text=ready)


def download(asked: argparse.Namespace) -> None:
    """Download a model of the catalogue, or a LoRA of a repository, whose licence is accepted.

    Raises:
        PeekabooError: it is not there whole.
    """
    console, models = Console(asked.json), catalogue.catalogue()
    if catalogue.LORA_IN_REPOSITORY.fullmatch(asked.model):
        if not asked.accept_licence:
            page = f"https://huggingface.co/{'/'.join(asked.model.split('/')[:2])}"
            raise PeekabooError(
                f"The licence of {asked.model} is on its page, {page}. If you accept that, add "
                "--accept-licence."
            )
        text = downloading.fetch(asked.model, console.say)
        console.result(text, "model", model=asked.model, text=text)
        return
    if asked.model not in models or models[asked.model]["embedded"]:
        names = ", ".join(name for name, entry in models.items() if not entry["embedded"])
        raise PeekabooError(f'There is no model "{asked.model}" to download: choose one of {names}.')
    if not asked.accept_licence:
        licence, address, limits = catalogue.licence(asked.model)
        conditions = " ".join([f"{models[asked.model]['title']} is under {licence} ({address}).", *limits])
        raise PeekabooError(f"{conditions} If you accept that, add --accept-licence.")
    text = downloading.fetch(asked.model, console.say)
    console.result(text, "model", model=asked.model, text=text)


def add_generate(parser: argparse.ArgumentParser) -> None:
    """Add the options of :func:`generate`."""
    options.add_shot(parser)
    options.add_engine(parser)
    parser.add_argument("--save", action="store_true", help="save the .blend with the clips in its sequencer")


def _parser() -> argparse.ArgumentParser:
    parser = options.Parser(prog="blender FILE.blend --command peekaboo")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    making = commands.add_parser("generate", help="make clips, and put them into the sequencer")
    add_generate(making)
    making.set_defaults(call=generate)
    masking = commands.add_parser("masks", help="write what the engine is given, without an engine")
    options.add_shot(masking)
    masking.add_argument("--pictures", action="store_true", help="also a PNG of each frame's masks")
    masking.set_defaults(call=masks)
    exporting = commands.add_parser("mattes", help="write masks for other programs, at the scene's size")
    exporting.add_argument("--scene", action="append", metavar="NAME", help="the scene; may be repeated")
    exporting.add_argument("--out", type=Path, metavar="DIR", required=True, help="gets the files")
    exporting.add_argument(
        "--format",
        choices=tuple(KINDS),
        default="png",
        help="pictures of masks, Cryptomattes, depth, or a white model",
    )
    exporting.add_argument("--smooth", action="store_true", help="smooth the edges of masks and Cryptomattes")
    options.add_json(exporting)
    exporting.set_defaults(call=mattes)
    farm = commands.add_parser("bundle", help="write a job for a render farm", conflict_handler="resolve")
    farming.add_export(farm)
    farm.set_defaults(call=farming.export)
    task = commands.add_parser("farm-masks", help="make the masks of a shot of a farm job, as its tasks do")
    farming.add_masks(task)
    task.set_defaults(call=farming.masks)
    planning = commands.add_parser("draft", help="make keyframed subjects of a sentence")
    drafting.add_draft(planning)
    planning.set_defaults(call=drafting.draft)
    checking = commands.add_parser("check", help="say whether the engine can run, and look at the shot")
    checking.add_argument("--scene", action="append", metavar="NAME", help="the scene to look at")
    options.add_engine(checking)
    options.add_json(checking)
    checking.set_defaults(call=check)
    fetching = commands.add_parser("download", help="bring a model here, once its licence is accepted")
    fetching.add_argument(
        "model", metavar="NAME", help="of the model; of a LoRA, OWNER/NAME/FILE.safetensors"
    )
    fetching.add_argument("--accept-licence", action="store_true", help="you accept the model's licence")
    options.add_json(fetching)
    fetching.set_defaults(call=download)
    setting_up = commands.add_parser("setup", help="make the engine's own environment")
    options.add_device(setting_up)
    options.add_json(setting_up)
    setting_up.set_defaults(call=set_up)
    return parser


def run(arguments: list[str]) -> int:
    """Run the command; returns Blender's exit code."""
    return program.exit_code(_main, arguments)


def _main(arguments: list[str]) -> None:
    asked = _parser().parse_args(arguments)
    asked.call(asked)


_command: Any = None


def register():
    """Add the command to Blender's command line."""
    global _command
    _command = bpy.utils.register_cli_command("peekaboo", run)


def unregister():
    """Take the command away."""
    global _command
    bpy.utils.unregister_cli_command(_command)
    _command = None
