# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine has to know of a family of models: the parts, as data and a few functions.

Nothing here imports torch: folders of models are described before it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import EngineError
from ..names import Kind

if TYPE_CHECKING:
    import numpy as np
    import torch
    from diffusers import DiffusionPipeline
    from PIL.Image import Image
    from torch import nn

Configs = Mapping[str, Mapping[str, Any]]
"""The ``config.json`` of each component of a pipeline."""

Rows = Literal["frames", "pixels", "clip"]
"""How an attention layer lays out the tokens of a clip: a row for each frame, a row for each pixel (of its
frames), or one row of all (frame by frame, each from left to right and from the top down)."""


class Grid(NamedTuple):
    """Size of a clip in tokens."""

    frames: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Cells:
    """What one token stands for.

    Args:
        pixels: of the picture, along x and y alike.
        frames: of the clip; the first frame is a token by itself wherever there are more.
        most: frames of a clip that the model can make; None is as many as there is memory for, 1 a picture.
    """

    pixels: int = 8
    frames: int = 1
    most: int | None = None

    def grid(self, frames: int, height: int, width: int) -> Grid:
        """Tokens of a clip of such a size, in frames and pixels."""
        return Grid(1 + (frames - 1) // self.frames, height // self.pixels, width // self.pixels)

    def frames_of(self, tokens: int) -> int:
        """Frames of a clip that is so many tokens long."""
        return 1 + (tokens - 1) * self.frames

    def check_frames(self, frames: int) -> None:
        """Refuse clips that are too long, or no whole number of tokens.

        Raises:
            EngineError: ``bad_size``, with the nearest that can be made.
        """
        if self.most is not None and frames > self.most:
            makes = "pictures, of one frame" if self.most == 1 else f"clips of at most {self.most} frames"
            raise EngineError("bad_size", f"This model makes {makes}, not {frames}; take {self.most}.")
        if over := (frames - 1) % self.frames:
            raise EngineError(
                "bad_size",
                f"This model makes one frame, and {self.frames} at a time after it, so not {frames}; take "
                f"{frames - over} or {frames - over + self.frames}.",
            )

    def check(self, frames: int, height: int, width: int) -> None:
        """Refuse sizes that are no whole number of tokens.

        Raises:
            EngineError: ``bad_size``, with the nearest that can be made.
        """
        self.check_frames(frames)
        for name, pixels in (("width", width), ("height", height)):
            if pixels % self.pixels:
                nearest = max(1, round(pixels / self.pixels)) * self.pixels
                raise EngineError(
                    "bad_size",
                    f"The {name} of this model's pictures is a multiple of {self.pixels}, not {pixels}; take "
                    f"{nearest}.",
                )


@dataclass(frozen=True)
class Layers:
    """Attention layers of one kind.

    Args:
        pattern: matches their whole path in the denoiser. A group ``level`` is the path of a module around
            them whose input's last two sizes are the rows and columns of the grid there.
        kind: what they attend over.
        rows: how their tokens are laid out.
        gated: whether ``gate_second_temporal`` of :class:`.Steering` is about them.
        stream: layers of another stream run beside these, not after them.
    """

    pattern: str
    kind: Kind
    rows: Rows
    gated: bool = False
    stream: str = "main"


Pads = Literal["read", "masked", "registers"]
"""What becomes of the tokens that pad a text: they are ``read`` as any other token; ``masked`` by the model
itself; or ``registers`` that were learnt take their place, behind the text."""


@dataclass(frozen=True)
class Layout:
    """How the tokens of a text lie.

    Args:
        before, behind: what a template writes around the text. With one there are no special tokens but
            those that it writes.
        skipped: tokens at the beginning that are cut off once they are encoded.
        pads: what becomes of padding.
        side: on which side it is put; None as the tokenizer does by itself.
    """

    before: str = ""
    behind: str = ""
    skipped: int = 0
    pads: Pads = "read"
    side: Literal["left", "right"] | None = None

    @property
    def templated(self) -> bool:
        """Whether a template writes something around the text."""
        return bool(self.before or self.behind)


@dataclass(frozen=True)
class Text:
    """How the pipeline makes tokens of its prompt.

    Args:
        clean: (pipe, text): what is really tokenised, but for a template around it.
        length: (pipe, arguments of ``encode_prompt`` by name): tokens, padding included.
        tokenizers: attributes of the pipeline that hold one; those that are None are left out. The tokens of
            several are joined on their features, so that each says of token i what the others say.
        alike: arguments of ``encode_prompt``, other texts that are joined with the prompt in this way: None,
            or the prompt again.
        per_frame: whether the denoiser is given the text once for each frame.
        layout: how they lie.
        halves: (what ``encode_prompt`` returns) to what the denoiser's calls of guidance read, the prompt's
            first; None where there is none.
        apart: whether ``encode_prompt`` is called twice, and the second time for the negative prompt.
    """

    clean: Callable[[DiffusionPipeline, str], str]
    length: Callable[[DiffusionPipeline, Mapping[str, Any]], int]
    tokenizers: tuple[str, ...] = ("tokenizer",)
    alike: tuple[str, ...] = ()
    per_frame: bool = False
    layout: Callable[[DiffusionPipeline], Layout] = lambda pipe: Layout()
    halves: Callable[[tuple], tuple[torch.Tensor, torch.Tensor | None]] = lambda encoded: encoded[:2]
    apart: bool = False


class Trial(NamedTuple):
    """What a clip of some size asks of its networks, without numbers: tensors on torch's ``meta`` device.

    Args:
        call: keywords of a call of the denoiser.
        latents: that the autoencoder decodes.
        decode: further keywords of its ``decode``.
        frames: of the clip, where it decodes some at a time and those of ``latents`` are enough to tell of;
            None where they are all.
    """

    call: Mapping[str, Any]
    latents: torch.Tensor
    decode: Mapping[str, Any] = {}
    frames: int | None = None


class Codec(NamedTuple):
    """How a family's autoencoder is used.

    Args:
        decode: (pipe, latents as its scheduler has them) to pictures, (batch, 3, frames, height, width) in
            -1..1.
        encode: the reverse, without noise.
    """

    decode: Callable[[DiffusionPipeline, torch.Tensor], torch.Tensor]
    encode: Callable[[DiffusionPipeline, torch.Tensor], torch.Tensor]


def first_and_last(pipe: DiffusionPipeline, first: Image, last: Image | None, frames: int) -> dict[str, Any]:
    """The keywords that most pipelines have for a first frame, and those that take one for a last."""
    return {"image": first} if last is None else {"image": first, "last_image": last}


@dataclass(frozen=True)
class Family:
    """A family of models: pipelines of diffusers whose denoisers are built alike.

    Args:
        name: for people.
        pipelines: classes that can be steered.
        given_picture: of those, the ones that always start from a picture.
        from_picture: of a class that makes clips from text, the one that starts from a picture and is made
            of the same components; none where a class does both, or where no picture is taken.
        from_clip: the same for the class that makes a clip anew from another, which it takes as ``video`` and
            how much of it is made anew as ``strength``.
        pictures: (pipe, first frame, last frame or None, number of frames), pictures of the size of the clip,
            to the keywords by which a pipeline is given them.
        reads_contexts: whether the denoiser reads a text with more tokens behind the prompt, as contrast has
            it, from the configuration.
        denoisers: attributes of the pipeline that hold one; those that are None are left out.
        layers: attention layers that are masked; the first that matches a path counts.
        left_alone: patterns of attention layers that are not masked, on purpose.
        grid: (denoiser, arguments of its call by name) to the size of the clip in tokens.
        cells: what a token stands for, from the configuration.
        text: how the prompt becomes tokens.
        halves: how classifier-free guidance runs: ``one batch``, first the unconditional half, or ``two
            calls``.
        picture: (pipe, clean latents as its scheduler predicts them) to one frame, float (3, height, width)
            in -1..1.
        arguments: (pipe, keywords by which a pipeline is usually called) to those of this one.
        unpacked: (latents as its scheduler has them, size of the clip in tokens) to those that its
            autoencoder has, which ``picture`` takes.
        adapted: (folder of a model, folder of a motion adapter, torch's dtype) to the components with which
            the model makes clips; None for families that need no adapter.
        prepare: what is set on a pipeline once it is loaded.
        half: the half precision that it runs in.
        single: components that stay in single precision all the same.
        presets: of each method, the fields of :class:`.Steering` that are otherwise for this family.
        silhouettes: the fields that are otherwise, besides, where masks are what subjects look like from the
            camera and not boxes around them.
        blocks: patterns of the blocks that each value of ``blocks`` of :class:`.Steering` masks.
        outlines: whether what denoisers expect can be shaped: they take latents of (batch, channels, frames,
            rows, columns), with more channels behind theirs, and tell their velocity, as flow matching does.
        codec: how its autoencoder is used to redraw a clip; None where it is not.
        attends: (keywords of a call of an attention layer), whether it attends at all then.
        contrast: whether other texts can be put behind the prompt's tokens, for contrast.
        beside: (arguments of the denoiser's call by name, labels of the text's tokens) to the labels of all
            tokens that stand behind those of the clip in the row of a joint layer.
        trial: (denoiser, autoencoder, what ``model_index.json`` states, size of the clip in tokens, halves of
            guidance in a call) to what its memory is foreseen by; None where nobody has written it.
        gate: (block, its attention's forward, its input, bool foreground) computes a layer under
            ``gate_second_temporal``; None has no such option.
    """

    name: str
    pipelines: tuple[str, ...]
    denoisers: tuple[str, ...]
    layers: tuple[Layers, ...]
    grid: Callable[[nn.Module, Mapping[str, Any]], Grid]
    cells: Callable[[Configs], Cells]
    text: Text
    halves: Literal["one batch", "two calls"]
    picture: Callable[[DiffusionPipeline, torch.Tensor], torch.Tensor]
    arguments: Callable[[DiffusionPipeline, dict[str, Any]], dict[str, Any]] = lambda pipe, usual: usual
    unpacked: Callable[[torch.Tensor, Grid], torch.Tensor] = lambda latents, grid: latents
    adapted: Callable[[Path, Path, torch.dtype], dict[str, Any]] | None = None
    prepare: Callable[[DiffusionPipeline], None] = lambda pipe: None
    half: Literal["float16", "bfloat16"] = "float16"
    single: tuple[str, ...] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    silhouettes: Mapping[str, Any] = field(default_factory=dict)
    blocks: Mapping[str, str] = field(default_factory=lambda: {"all": ""})
    left_alone: tuple[str, ...] = ()
    outlines: bool = False
    codec: Codec | None = None
    attends: Callable[[Mapping[str, Any]], bool] = lambda call: True
    contrast: bool = True
    beside: Callable[[Mapping[str, Any], np.ndarray], np.ndarray] | None = None
    trial: Callable[[Any, Any, Mapping[str, Any], Grid, int], Trial] | None = None
    gate: Callable[..., torch.Tensor] | None = None
    given_picture: frozenset[str] = frozenset()
    from_picture: Mapping[str, str] = field(default_factory=dict)
    from_clip: Mapping[str, str] = field(default_factory=dict)
    pictures: Callable[[DiffusionPipeline, Image, Image | None, int], dict[str, Any]] = first_and_last
    reads_contexts: Callable[[Configs], bool] = lambda configs: True

    @property
    def kinds(self) -> set[Kind]:
        """The kinds of attention that its denoisers have."""
        return {layers.kind for layers in self.layers}

    @property
    def times_phrases(self) -> bool:
        """Whether some frames of a clip can read other words of the prompt than the rest.

        In joint attention the words read each other again in every layer, and pixels, so that what one frame
        may not read comes to it by others; and pictures have no time.
        """
        in_time = bool(self.kinds & {"temporal", "full"})
        return in_time and "cross" in self.kinds and "joint" not in self.kinds
