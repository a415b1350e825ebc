# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's catalogue says about its models, read without importing the engine."""

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..borders.documents import read_json
from ..borders.places import is_file, is_folder
from ..errors import PeekabooError
from ..memory import remembered
from . import job_schema
from .whereabouts import engine_folder

DEFAULT_MODEL = "shapes"

WEIGHTS = {".safetensors", ".bin"}
LORA_IN_REPOSITORY = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)/(.+\.safetensors)")
"""As the engine has it: a repository, and a file in it."""
RECORD = "peekaboo.json"
"""File in a repository's folder of the hub's cache in which the engine says what belongs to it."""


@cache
def catalogue() -> dict[str, dict]:
    """Read the models that the engine knows by name; the keys of an entry are those of ``models.json``.

    Those whose weights are in the repository but not in this package are left out.
    """
    folder = engine_folder()
    return {
        name: entry
        for name, entry in _read(folder / "models.json").items()
        if not entry["embedded"] or (folder / entry["source"]).is_dir()
    }


@cache
def schedules() -> dict[str, dict]:
    """Read the schedules of few steps; the keys of each are those of ``schedules.json``."""
    return _read(engine_folder() / "schedules.json")


@cache
def _classes() -> dict[str, dict]:
    """Read what the engine knows of a model's folder by the class of its pipeline."""
    return _read(engine_folder() / "model_folders.json")


@remembered({}, once=True)
def choosable() -> dict[str, dict]:
    """The models of the catalogue that an engine can make clips with as it stands, by name.

    Left out are those whose class has no masks yet, and embedded ones that this package comes without.
    """
    return {
        name: entry
        for name, entry in catalogue().items()
        if entry["pipeline"] in _classes()
        and (not entry["embedded"] or is_file(engine_folder() / entry["source"] / "model_index.json"))
    }


def model_size(name: str) -> tuple[int, int, int]:
    """Find the width, height and number of frames that a model makes.

    Args:
        name: of a model in the catalogue, or the path of a diffusers folder.

    Raises:
        PeekabooError: there is no such model, or a folder does not tell its size.
    """
    entry = catalogue().get(name) or _entry_of_folder(name)
    return entry["width"], entry["height"], entry["num_frames"]


@dataclass(frozen=True)
class Abilities:
    """What sizes a model can make beside its own.

    Attributes:
        multiple: width and height are multiples of so many pixels.
        compression: frames that one latent frame stands for, after the first, which stands alone.
        most_frames: of a clip; 0 where that is not known.
        rate: pictures a second that it was trained on; 0 where that is not known.
    """

    multiple: int
    compression: int
    most_frames: int
    rate: int


def abilities(name: str) -> Abilities:
    """Find what a model can make; raises as :func:`model_size`."""
    entry = catalogue().get(name) or _entry_of_folder(name)

    def number(key: str, default: int) -> int:
        stated = entry.get(key)
        return stated if type(stated) is int and stated > 0 else default

    return Abilities(
        number("size_multiple", 8),
        number("temporal_compression", 1),
        number("most_frames", 0),
        number("fps", 0),
    )


def steps_of(name: str) -> int:
    """Denoising steps of a model where none are asked for; 0 where that is not known.

    Raises:
        PeekabooError: see :func:`model_size`.
    """
    stated = (catalogue().get(name) or _entry_of_folder(name)).get("num_inference_steps")
    return stated if type(stated) is int and stated > 0 else 0


def temporal_compression(name: str) -> int:
    """Frames of the clip that one latent frame of a model stands for; 1 where there is no such model."""
    try:
        return abilities(name).compression
    except PeekabooError:
        return 1  # whoever asks for the size is told


def first_frame(name: str) -> str:
    """Whether a model starts from a picture: ``none``, ``taken`` or ``needed``; raises as
    :func:`model_size`."""
    return _taken(name, "first_frame")


def last_frame(name: str) -> str:
    """Whether a model ends with one; see :func:`first_frame`."""
    return _taken(name, "last_frame")


def _taken(name: str, which: str) -> str:
    stated = (catalogue().get(name) or _entry_of_folder(name)).get(which)
    return stated if stated in ("taken", "needed") else "none"


def family(name: str) -> str:
    """The family of a model, as schedules name those that they are for; raises as :func:`model_size`."""
    entry = catalogue().get(name) or _entry_of_folder(name)
    return _classes().get(entry["pipeline"], {}).get("family", "")


def times_phrases(name: str) -> bool:
    """Whether some frames of a model's clips can read other words than the rest; raises as
    :func:`model_size`."""
    entry = catalogue().get(name) or _entry_of_folder(name)
    return _classes().get(entry["pipeline"], {}).get("times_phrases", True)


def makes_anew(name: str) -> bool:
    """Whether a model makes a clip anew from another; raises as :func:`model_size`."""
    pipeline = (catalogue().get(name) or _entry_of_folder(name))["pipeline"]
    from_clip = {key: known["from_clip"] for key, known in _classes().items() if "from_clip" in known}
    return pipeline in {*from_clip, *from_clip.values()}


def refiners() -> dict[str, dict]:
    """The models of the catalogue that make clips anew from others, by name."""
    return {name: entry for name, entry in catalogue().items() if makes_anew(name)}


def own_loras(name: str) -> list[dict]:
    """The LoRAs that a model comes with, as jobs state them; raises as :func:`model_size`."""
    entry = catalogue().get(name) or _entry_of_folder(name)
    stated = entry.get("loras", [])
    return [each for each in stated if isinstance(each, dict)] if isinstance(stated, list) else []


def smallest_subject(name: str) -> float:
    """What share of the picture a subject has to fill for a model to make it; 0 where nobody has measured."""
    return catalogue().get(name, {}).get("smallest_subject", 0.0)


def hub_cache() -> Path:
    """The folder in which Hugging Face's libraries keep what they download, as the environment says."""
    for variable, inside in (
        ("HF_HUB_CACHE", ""),
        ("HUGGINGFACE_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ):
        if stated := os.environ.get(variable):
            return Path(stated).expanduser() / inside
    return Path.home() / ".cache" / "huggingface" / "hub"


@remembered("downloaded")
def state(name: str) -> str:
    """Whether the weights of a model of the catalogue are here: ``downloaded``, ``half`` or ``missing``.

    The engine writes into a repository's folder what belongs to it before it downloads that; where another
    program has, weights of each component are looked for.
    """
    entry = catalogue()[name]
    if entry["embedded"]:
        return "downloaded"
    states = {_state_of_pipeline(entry), *(_state_of_files(*each) for each in _beside(entry))}
    return states.pop() if len(states) == 1 else "half"


@remembered("downloaded")
def lora_state(source: str) -> str:
    """Whether a LoRA is here: ``downloaded``, or ``missing`` where it is in a repository on the hub alone."""
    named = LORA_IN_REPOSITORY.fullmatch(source)
    if named is None or ".." in named[2].split("/"):
        return "downloaded"  # or no file, which the engine says
    return _state_of_files(named[1], named[2])


def _folder_of(repository: str) -> Path:
    return hub_cache() / f"models--{repository.replace('/', '--')}"


def _beside(entry: dict) -> list[tuple[str, str]]:
    """Files that a model needs from other repositories: each its repository, and its path there."""
    files = [lora["source"] for lora in entry.get("loras", [])]
    if adapter := entry.get("motion_adapter"):
        files += [f"{adapter}/{name}" for name in ("config.json", "diffusion_pytorch_model.safetensors")]
    return [("/".join(parts[:2]), "/".join(parts[2:])) for parts in (file.split("/") for file in files)]


def _state_of_files(repository: str, path: str) -> str:
    """Whether a single file of a repository is here; it takes its place only once it is whole."""
    try:
        snapshots = list((_folder_of(repository) / "snapshots").iterdir())
    except OSError:  # there are none, or their name is longer than a disk has room for
        return "missing"
    return "downloaded" if any(is_file(each / path) for each in snapshots) else "missing"


def _state_of_pipeline(entry: dict) -> str:
    folder = _folder_of(entry["source"])
    if not is_folder(folder):
        return "missing"
    try:
        record = _read(folder / RECORD)
        snapshot = folder / "snapshots" / record["commit"]
        whole = all(_has_size(snapshot / each["path"], each["size"]) for each in record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        whole = _has_weights(folder, entry)
    return "downloaded" if whole else "half"


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _has_weights(folder: Path, entry: dict) -> bool:
    """Whether each component of a repository in the cache has some weights."""
    try:
        commit = entry["revision"] or (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return False
    snapshot = folder / "snapshots" / commit
    # a download that was cut short leaves links to files that are not there
    return (snapshot / "model_index.json").is_file() and all(
        any(path.is_file() for path in (snapshot / part).glob("*model*.*") if path.suffix in WEIGHTS)
        for part in entry["parameters"]
        if part != "motion_adapter"  # which has a repository of its own
    )


def is_downloaded(name: str) -> bool:
    """Whether all weights of a model of the catalogue are on this machine."""
    return state(name) == "downloaded"


def check_downloaded(name: str) -> None:
    """Refuse a model of the catalogue that an engine of this machine could not load.

    Raises:
        PeekabooError: its weights are not here, or in part.
    """
    if name in catalogue() and (here := state(name)) != "downloaded":
        how = (
            "is here only in part: press Resume Download" if here == "half" else "is not here: press Download"
        )
        raise PeekabooError(
            f"{catalogue()[name]['title']} {how} below the model, or run blender --online-mode --command "
            f"peekaboo download {name}."
        )


_STATES = {"downloaded": "downloaded", "half": "downloaded in part", "missing": "not downloaded yet"}


def conditions(name: str) -> str:
    """A model's licence in a few words: where nobody has one, and whether it has limits."""
    entry = catalogue()[name]
    excluded = f", not in {', '.join(entry['excluded'])}" if entry.get("excluded") else ""
    return entry["licence"] + (excluded or (" with limits" if entry["limits"] else ""))


def licence(name: str) -> tuple[str, str, list[str]]:
    """The name of a model's licence, the address of its text, and what it limits, in sentences."""
    entry = catalogue()[name]
    return entry["licence"], entry["licence_url"], list(entry["limits"])


def describe(name: str) -> list[str]:
    """List what one wants to know of a model before choosing it; see :func:`model_size`."""
    width, height, num_frames = model_size(name)
    facts = [f"{width} × {height}", f"{num_frames} frames" if num_frames > 1 else "a picture"]
    if entry := catalogue().get(name):
        facts += [memory(name), conditions(name)]
        if not entry["embedded"]:
            here = state(name)
            size = "" if here == "downloaded" else f" (up to {entry['download_gb']:g} GB)"
            facts.append(_STATES[here] + size)
        if draws := entry.get("draws"):
            facts.append(f"draws {draws}")
    return facts


def memory(name: str) -> str:
    """What a model of the catalogue takes on the device that it runs on, in words."""
    entry = catalogue()[name]
    if measured := entry.get("measured_gb"):
        return f"{measured:g} GB of memory"
    weights = entry["weights_gb"]
    return f"weights of {weights['bf16']:g} GB, {weights['offload']:g} offloaded"


@remembered(PeekabooError("Looking at the model's folder..."))
def _entry_of_folder(path: str) -> dict[str, Any]:
    """A diffusers folder: as its ``peekaboo.json`` states, else as the engine's data has it for its class."""
    folder = Path(path)
    if folder.suffix in {".safetensors", ".gguf", ".ckpt"}:
        raise PeekabooError(
            f'"{path}" is a single file, which holds a part of a model: choose the model of the list that it '
            'was made from, or make a folder of both by "python -m peekaboo_engine models assemble".'
        )
    if not is_file(folder / "model_index.json"):
        names = ", ".join(catalogue())
        raise PeekabooError(f'There is no model "{path}": choose one of {names}, or give a diffusers folder.')
    try:
        stated = _read(folder / "peekaboo.json") if is_file(folder / "peekaboo.json") else {}
        index = _read(folder / "model_index.json")
        known = _classes().get(stated.get("pipeline") or index["_class_name"])
        if known is None:
            raise PeekabooError(
                f'The model in "{path}" is of no class that can be used: take one of {", ".join(_classes())}.'
            )
        pipeline = {"pipeline": stated.get("pipeline") or index["_class_name"]}
        entry = {key: _usual(rule, folder) for key, rule in known["entry"].items()} | stated | pipeline
        sizes = [entry[key] for key in ("width", "height", "num_frames")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise PeekabooError(
            f'"{path}" is not a text-to-video folder: give one as diffusers saves it.'
        ) from None
    if problem := job_schema.size_problem(*sizes):
        raise PeekabooError(f'"{path}" cannot be used ({problem}): choose another model.')
    return entry


def _usual(rule: Any, folder: Path) -> Any:
    """What the engine's data says of a key: a value, what a component's configuration says times some, or one
    rule or another by whether it says something."""
    if not isinstance(rule, dict):
        return rule
    component, key = rule["config"].split(".")
    file = folder / "model_index.json" if component == "model_index" else folder / component / "config.json"
    value = _read(file).get(key) or rule["default"]
    if "where" in rule:
        return _usual(rule["where" if value else "else"], folder)
    return (value[rule["item"]] if isinstance(value, list) else value) * rule.get("times", 1)


def _read(path: Path) -> dict:
    data = read_json(path, follow=True)
    if not isinstance(data, dict):
        raise TypeError("no object")
    return data
