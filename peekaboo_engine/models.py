# SPDX-License-Identifier: GPL-3.0-or-later
"""Base models: the catalogue, and folders in its place.

The catalogue itself is ``models.json``: data that Blender's side reads too.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from .documents import first_fault, read_json
from .errors import EngineError, one_line
from .families import FAMILIES, Cells, Family, family_of
from .loras import Lora, in_repository
from .model_files import check_model_folder, is_model_folder
from .names import Method, Taken
from .placement import Tiers
from .repositories import Repository, State

_PACKAGE = Path(__file__).parent


_ARTICLES = {"a", "an", "the"}


class ModelEntry(BaseModel):
    """One base model and its own defaults.

    Args:
        title: name for people.
        source: Hugging Face repository, or a folder (relative: inside this package).
        pipeline: its class in diffusers, which tells its family.
        embedded: whether the weights ship with the engine.
        revision: commit of the repository, where its hash is known from a source that can be named; None
            follows its main branch, and the commit is in each clip.json.
        variant: of the weight files, as diffusers calls them: ``fp16`` has half of the bytes.
        width, height, num_frames: of the video it was trained for, in pixels and frames.
        fps: frames a second that it was trained at; None where nobody says.
        size_multiple: width and height are multiples of so many pixels, the size of a token.
        temporal_compression: frames that one latent frame stands for after the first.
        num_inference_steps, guidance_scale, masked_steps: defaults of a generation.
        method: how masks act by default; ``strong`` where it was measured to be better
            (docs/reference/shapes.md), or is for the models of its family.
        max_sequence_length: tokens to which the text is padded; None as the pipeline does by itself.
        smallest_subject: share of the picture below which subjects are lost, where that was measured
            (docs/reference/shapes.md).
        redrawn: whether clips of one silhouette are redrawn along its outline, as they are where that was
            measured (docs/reference/solids.md).
        licence: SPDX identifier of the weights, or the licence's name.
        licence_url: where its text is.
        excluded: territories in which nobody has a licence.
        limits: what it forbids or asks for, territories and revenue first; a sentence each, shown before a
            download.
        parameters: of each component that has weights, in billions.
        weights_gb: what follows from these; see :func:`tiers_of`.
        download_gb: the most that has to be downloaded: four bytes a parameter, two of a variant; the hub
            says how much it really is before anything is; 0 if nothing has to.
        measured_gb: what a whole generation took where that was measured; None if nobody has.
        measured: page with what control over it is worth; None: untested.
        draws: all that it can, where it has learnt a few words only; None: whatever is said.
        tried: what was and was not run of it, in sentences.
        most_frames: that it can make at a time; None is as many as there is memory for, 1 a picture.
        motion_adapter: of AnimateDiff, what makes ``source``, a Stable Diffusion, move: a Hugging Face
            repository, or a folder (relative: to the model's); None where the model has it in it.
        loras: that make this model of its source; paths inside this package where it is embedded, else of its
            folder.
        schedule: of few steps, by name (:mod:`.schedules`); None as its scheduler has it.
        first_frame, last_frame: whether it can start from a picture and end with one, or has to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    source: str
    pipeline: str
    embedded: bool
    revision: str | None
    variant: str | None = None
    width: int
    height: int
    num_frames: int
    fps: float | None = None
    size_multiple: int = 8
    temporal_compression: int = 1
    num_inference_steps: int
    guidance_scale: float
    method: Method = "peekaboo"
    masked_steps: int
    max_sequence_length: int | None = None
    smallest_subject: float = 0
    redrawn: bool = False
    licence: str
    licence_url: str | None = None
    excluded: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    parameters: dict[str, float] = {}
    weights_gb: Tiers | None = None
    download_gb: float = 0
    measured_gb: float | None = None
    measured: str | None = None
    draws: str | None = None
    tried: str = "Nobody of us has tried it."
    most_frames: int | None = None
    motion_adapter: str | None = None
    loras: tuple[Lora, ...] = ()
    schedule: str | None = None
    first_frame: Taken = "none"
    last_frame: Taken = "none"

    def strange_words(self, phrases: Sequence[str]) -> list[str]:
        """Words of subjects' phrases that it has not learnt; none where it is not known what it has."""
        if self.draws is None:
            return []
        known = set(re.findall(r"\w+", self.draws.lower())) | _ARTICLES
        words = dict.fromkeys(word for phrase in phrases for word in re.findall(r"\w+", phrase.lower()))
        return [word for word in words if not {word, f"{word}s", f"{word}es"} & known]

    def masked_steps_of(self, num_inference_steps: int) -> int:
        """Its own number of masked steps: the same share of so many steps as of its own, one at least."""
        share = self.masked_steps / self.num_inference_steps
        return max(1, round(share * num_inference_steps)) if self.masked_steps else 0

    @property
    def family(self) -> Family:
        """The family that it belongs to."""
        return family_of(self.pipeline)

    @property
    def cells(self) -> Cells:
        """What one token of it stands for."""
        return Cells(self.size_multiple, self.temporal_compression, self.most_frames)

    @property
    def is_driven(self) -> bool:
        """Whether clips can be made with its class, from text or from others."""
        return any(self.pipeline in family.pipelines for family in FAMILIES)

    def check_pictures(self, first: bool, last: bool) -> None:
        """Refuse a first or last frame that the model does not take, or the lack of one that it needs.

        Args:
            first, last: whether there is one.

        Raises:
            EngineError: ``no_picture_taken``, ``picture_needed``.
        """
        for name, taken, there in (("first", self.first_frame, first), ("last", self.last_frame, last)):
            if there and taken == "none":
                raise EngineError(
                    "no_picture_taken",
                    f"{self.title} takes no {name} frame; leave the picture out, or choose a model that "
                    "does.",
                )
            if taken == "needed" and not there:
                raise EngineError(
                    "picture_needed",
                    f"{self.title} needs a {name} frame; give it a picture, or choose a model that makes "
                    "clips from text alone.",
                )
        if last and not first:
            raise EngineError(
                "picture_needed",
                "A clip that ends with a picture needs a first frame, too; give one, or leave the last out.",
            )

    def check_source(self, there: bool) -> None:
        """Refuse a clip to start from where the model takes none, or the lack of one where it needs it.

        Raises:
            EngineError: ``no_clip_taken``, ``clip_needed``.
        """
        classes = self.family.from_clip
        if not there and self.pipeline in classes.values():
            raise EngineError(
                "clip_needed",
                f"{self.title} makes a clip anew from another: run python -m peekaboo_engine refine on a "
                "take, or choose a model that makes clips from text.",
            )
        if there and self.pipeline not in {*classes, *classes.values()}:
            raise EngineError(
                "no_clip_taken",
                f"{self.title} makes no clip from another; leave the source clip out, or choose a model that "
                "does.",
            )

    def described(self) -> dict[str, Any]:
        """All of it and its family (None: no clips are made with it yet), as plain data."""
        return {**self.model_dump(mode="json"), "family": self.family.name if self.is_driven else None}

    @property
    def repositories(self) -> list[Repository]:
        """Where all of it lies on the hub, and in the hub's cache: its own repository first."""
        if self.folder:
            return []
        apart = {"motion_adapter"} if self.motion_adapter else set()
        parts = tuple(part for part in self.parameters if part not in apart)
        found = [Repository(self.source, self.revision, self.variant, parts)]
        if self.motion_adapter:
            found.append(adapter_repository(self.motion_adapter))
        loras: dict[str, list[str]] = {}
        for lora in self.own_loras:
            if named := in_repository(lora.source):
                loras.setdefault(named[0], []).append(named[1])
        return found + [Repository(name, only=tuple(files)) for name, files in loras.items()]

    def state(self) -> State:
        """Whether its weights are on this machine."""
        if self.embedded and not self.folder:
            return "missing"
        states = {repository.state() for repository in self.repositories}
        if states <= {"downloaded"}:
            return "downloaded"
        return "missing" if states == {"missing"} else "half"

    @property
    def folder(self) -> Path | None:
        """Where the weights lie, or None for a repository."""
        path = _PACKAGE / self.source if self.embedded else Path(self.source)
        return path if path.is_dir() else None

    @property
    def own_loras(self) -> list[Lora]:
        """Its LoRAs, with paths that hold from any current folder."""
        beside = _PACKAGE if self.embedded else self.folder
        return [
            lora.model_copy(update={"source": str(beside / lora.source)})
            if beside and (beside / lora.source).exists()
            else lora
            for lora in self.loras
        ]


def adapter_repository(name: str) -> Repository:
    """The repository of a motion adapter, as diffusers' ``MotionAdapter`` is saved."""
    return Repository(name, only=("config.json", "diffusion_pytorch_model.safetensors"))


_SINGLE_FILES = {".safetensors", ".gguf", ".ckpt", ".pt", ".pth"}
_DENOISERS = {"transformer", "transformer_2", "unet"}


def tiers_of(parameters: dict[str, float]) -> Tiers:
    """What weights of so many billions of parameters take; see :class:`Tiers`.

    A motion adapter is copied into the denoiser, and stays beside it (diffusers' ``AnimateDiffPipeline``).
    """
    if adapter := parameters.get("motion_adapter"):
        parameters = {**parameters, "unet": parameters["unet"] + adapter}
    fp8 = sum(count if part in _DENOISERS else 2 * count for part, count in parameters.items())
    exact = (2 * sum(parameters.values()), fp8, 2 * max(parameters.values()))
    bf16, fp8, offload = (round(size, 1 if size >= 0.1 else 2) for size in exact)
    return Tiers(bf16=bf16, fp8=fp8, offload=offload)


def catalogue() -> dict[str, ModelEntry]:
    """The models known by name, without those whose weights are in the repository but not in this package."""
    data = json.loads((_PACKAGE / "models.json").read_text(encoding="utf-8"))
    models = {name: ModelEntry(**entry) for name, entry in data.items()}
    return {name: entry for name, entry in models.items() if entry.folder or not entry.embedded}


def known_model(name: str) -> ModelEntry:
    """The model of that name, or of that folder, whether clips can be made with it or not.

    Raises:
        EngineError: ``unknown_model`` if it is neither; ``bad_model``.
    """
    models = catalogue()
    if name in models:
        return models[name]
    folder = Path(name)
    if is_model_folder(folder):
        check_model_folder(folder)
        return _entry_of_folder(folder)
    if folder.suffix in _SINGLE_FILES:
        raise EngineError(
            "single_file",
            f"{name} is a single file, a part of a model; make a folder of it and of the model that it "
            f"was made from: python -m peekaboo_engine models assemble {name} --base NAME --out FOLDER.",
        )
    raise EngineError(
        "unknown_model",
        f'There is no model "{name}"; take one of {", ".join(models)}, or a folder in diffusers\' format.',
    )


def find_model(name: str) -> ModelEntry:
    """The model of that name, or of that folder, to make clips with.

    Raises:
        EngineError: as :func:`known_model`; ``unsupported_pipeline`` where no masks are known for its class.
    """
    entry = known_model(name)
    if not entry.is_driven:
        raise EngineError(
            "unsupported_pipeline",
            f"{entry.title} is a {entry.pipeline}, with which this version makes no clips yet; take one of "
            f"{', '.join(name for name, known in catalogue().items() if known.is_driven)}.",
        )
    return entry


def _classes() -> dict[str, Any]:
    """What is known of a folder by the class of its pipeline."""
    return _read(_PACKAGE / "model_folders.json")


def _entry_of_folder(folder: Path) -> ModelEntry:
    """A folder of a class that is known.

    It may state its entry in a ``peekaboo.json`` (keys of ``models.json``). What is left out is as
    ``model_folders.json`` has it for its class: data, since Blender's side reads it too.
    """
    try:
        stated_file = folder / "peekaboo.json"
        stated = read_json(stated_file, follow=True, once=True) if stated_file.is_file() else {}
        pipeline = str(stated.get("pipeline") or _read(folder / "model_index.json").get("_class_name"))
        classes = _classes()
        if pipeline not in classes:
            family_of(pipeline)
            raise EngineError(
                "bad_model",
                f"{folder} is a {pipeline}, which makes no clip from text or a picture; take a folder of one "
                f"of {', '.join(classes)}.",
            )
        usual = {key: _usual(rule, folder) for key, rule in classes[pipeline]["entry"].items()}
        if "motion_adapter" in stated:
            stated["motion_adapter"] = str(_adapter_folder(folder, stated["motion_adapter"]))
        others = {"title": folder.name, "pipeline": pipeline, "licence": "unknown"}
        return ModelEntry(**others | usual | stated, source=str(folder), embedded=False, revision=None)
    except ValidationError as error:
        raise EngineError(
            "bad_model", f"{folder}/peekaboo.json is wrong ({first_fault(error)}); correct that key."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            "bad_model",
            f"{folder} is not a text-to-video folder ({one_line(error)}); give one as diffusers saves it.",
        ) from None


def _adapter_folder(folder: Path, stated: str) -> Path:
    """Where the motion adapter lies that a model's folder names.

    Raises:
        EngineError: ``bad_model``.
    """
    adapter = (folder / stated).resolve()
    if not (adapter / "config.json").is_file():
        raise EngineError(
            "bad_model",
            f'{folder}/peekaboo.json names the motion adapter "{stated}", where no folder of one is as '
            "diffusers saves it; correct the path.",
        )
    check_model_folder(adapter)
    return adapter


def _usual(rule: Any, folder: Path) -> Any:
    """What ``model_folders.json`` says of a key: a value, what a component's configuration says times some,
    or one rule or another by whether it says something."""
    if not isinstance(rule, dict):
        return rule
    component, key = rule["config"].split(".")
    file = folder / "model_index.json" if component == "model_index" else folder / component / "config.json"
    value = _read(file).get(key) or rule["default"]
    if "where" in rule:  # what it is where that is stated at all, and where not
        return _usual(rule["where" if value else "else"], folder)
    return (value[rule["item"]] if isinstance(value, list) else value) * rule.get("times", 1)


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, follow=True)
