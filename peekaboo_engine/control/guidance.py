# SPDX-License-Identifier: GPL-3.0-or-later
"""Steering a pipeline: masked attention while the clip takes shape, then free generation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from diffusers import DiffusionPipeline, UNet3DConditionModel

from ..errors import EngineError
from .interception import call_under_rule, stand_in_for_attention, wrapped_forwards
from .labels import BACKGROUND, check_label_map
from .levels import NoiseLevels
from .rules import Rules
from .settings import PEEKABOO, Steering, check_option
from .sites import Kind, Site, attention_sites
from .spans import label_tokens
from .windows import Moment
from .words import encode_contexts, without_phrases


@contextlib.contextmanager
def peekaboo(
    pipe: DiffusionPipeline,
    labels: np.ndarray,
    phrases: list[str],
    *,
    steering: Steering = PEEKABOO,
    strengths: np.ndarray | None = None,
    **changes: Any,
) -> Iterator[Guidance]:
    """Steer every call of ``pipe`` inside the ``with`` block by a label map.

    Example::

        pipe = TextToVideoSDPipeline.from_pretrained(folder)
        labels = np.zeros((16, 160, 288), np.uint8)
        labels[:, 40:120, 30:110] = 1
        with peekaboo(pipe, labels, ["a red ball"], masked_steps=4):
            frames = pipe("a red ball on grass", num_frames=16, height=160, width=288).frames[0]

    Steps in which nothing is steered, and all after the block, are bit for bit the unmodified pipeline.

    Args:
        pipe: a pipeline with a ``UNet3DConditionModel``, such as ``TextToVideoSDPipeline``.
        labels: integer (frames, height, width) at any resolution, top row first, 0 background, k for the
            subject of ``phrases[k-1]``. As many frames as the pipeline generates.
        phrases: for each subject its words in the prompt.
        steering: how; a preset of :mod:`.settings`.
        strengths: how long each subject is held in each frame, as a share of every window of ``steering``:
            float (subjects, frames) in 0..1, all 1 by default. A subject that is no longer held in a frame
            counts as background there, its words too. Neither paper nor released code know it.
        changes: fields of :class:`.Steering` that differ from ``steering``, such as ``masked_steps=4``.

    Yields:
        The :class:`Guidance` in force.

    Raises:
        EngineError: for labels, phrases, options or a pipeline that do not fit; from the pipeline's call if a
            layer that should be masked was not.
    """
    guidance = Guidance(pipe, labels, phrases, replace(steering, **changes), strengths)
    unet: UNet3DConditionModel = pipe.unet
    sites = [
        site
        for site in attention_sites(unet, guidance.steering.blocks)
        if site.kind in guidance.steering.kinds
    ]
    with contextlib.ExitStack() as stack:
        stack.callback(unet.register_forward_pre_hook(guidance.before_denoiser, with_kwargs=True).remove)
        for transformer in {site.transformer for site in sites}:
            handle = transformer.register_forward_pre_hook(guidance.before_transformer, with_kwargs=True)
            stack.callback(handle.remove)
        stack.enter_context(
            wrapped_forwards({site.attention: partial(guidance.wrap, site) for site in sites})
        )
        stack.enter_context(_wrapped_method(pipe, "encode_prompt", guidance.wrap_encoding))
        stack.enter_context(stand_in_for_attention())
        yield guidance


@contextlib.contextmanager
def _wrapped_method(owner: object, name: str, wrapper: Callable[[Callable], Callable]) -> Iterator[None]:
    """Replace a method of one object by ``wrapper(method)``, and put back what was there."""
    before = vars(owner).get(name)
    setattr(owner, name, wrapper(getattr(owner, name)))
    try:
        yield
    finally:
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def _one(prompt: str | list[str] | None) -> str:
    prompts = prompt if isinstance(prompt, list) else [prompt]
    if len(prompts) != 1 or prompts[0] is None:
        raise EngineError(
            "one_prompt",
            "Masked generation needs the text of exactly one prompt to find the phrases in; "
            "call the pipeline with one prompt and without prompt_embeds.",
        )
    return prompts[0]


def _check_strengths(strengths: np.ndarray | None, subjects: int, frames: int) -> np.ndarray:
    if strengths is None:
        return np.ones((subjects, frames))
    strengths = np.asarray(strengths, np.float64)
    fits = strengths.shape == (subjects, frames) and bool(((strengths >= 0) & (strengths <= 1)).all())
    check_option("strengths", strengths.tolist(), fits, f"{subjects} x {frames} numbers from 0 to 1")
    return strengths


class Guidance:
    """What is steered, and until when; made by :func:`peekaboo`.

    Attributes:
        steering: its settings.
        step: index of the current denoising step, -1 before the first.
        level: noise level of the current step, see :mod:`.levels`.
        active: whether anything is steered in the current step.
    """

    def __init__(self, pipe, labels, phrases, steering: Steering, strengths):
        if not isinstance(getattr(pipe, "unet", None), UNet3DConditionModel):
            raise EngineError(
                "unsupported_pipeline",
                f"{type(pipe).__name__} has no UNet3DConditionModel; use a text-to-video pipeline of "
                "that family (TextToVideoSDPipeline).",
            )
        self.steering = steering
        self.step = -1
        self.level = 1.0
        self._start = 1.0  # noise level of the first step
        self._pipe = pipe
        self._labels = check_label_map(labels, phrases)
        self._phrases = list(phrases)
        self._strengths = _check_strengths(strengths, len(phrases), len(self._labels))
        self._rules = Rules(steering, self._labels, self._strengths)
        self._levels: NoiseLevels | None = None
        self._timestep: float | None = None
        self._contexts: torch.Tensor | None = None
        self._grids: dict[torch.nn.Module, tuple[int, int]] = {}

    @property
    def active(self) -> bool:
        """Whether anything is steered in the current step."""
        return any(self._rules.acts(kind) for kind in get_args(Kind))

    def wrap_encoding(self, encode_prompt: Callable) -> Callable:
        """The pipeline's ``encode_prompt``, which tells the prompt of each call before it is encoded."""

        def reporting(prompt, *args, **kwargs):
            words = self.read_prompt(prompt)
            if self.steering.contrast:
                texts = [without_phrases(_one(prompt), self._phrases), *self._phrases]
                read = [np.ones(self._pipe.tokenizer.model_max_length, bool), *words]
                self._contexts = encode_contexts(encode_prompt, args, kwargs, texts, read)
            return encode_prompt(prompt, *args, **kwargs)

        return reporting

    def read_prompt(self, prompt: str | list[str] | None) -> list[np.ndarray]:
        """Label the tokens of the prompt that the pipeline is about to encode.

        Returns:
            For contrast, which tokens of each phrase by itself are its words: bool (tokens,).
        """
        tokenizer, special_tokens = self._pipe.tokenizer, self.steering.special_tokens
        # Textual inversion replaces words by several tokens: offsets count in the text after that.
        text, *phrases = (
            self._pipe.maybe_convert_prompt(text, tokenizer) for text in (_one(prompt), *self._phrases)
        )
        tokens = label_tokens(tokenizer, text, phrases, special_tokens)
        alone = phrases if self.steering.contrast else []
        words = [label_tokens(tokenizer, phrase, [phrase], "background") == 1 for phrase in alone]
        self._rules.read(tokens, words)
        self._timestep = None  # a new run
        return words

    def before_denoiser(self, unet, args, kwargs) -> tuple[tuple, dict] | None:
        """Count steps by the timestep of the denoiser's own call, which every scheduler and pipeline has.

        An equal timestep is another call of the same step, a larger one is a new run. So schedulers that
        round timesteps are counted right while these stay apart: up to some 300 steps of 1000 in training.

        Returns:
            The denoiser's arguments with the contexts behind its text, where these are read.
        """
        sample = kwargs.get("sample", args[0] if args else None)
        timestep = kwargs.get("timestep", args[1] if len(args) > 1 else None)
        now = float(torch.as_tensor(timestep).flatten()[0])
        if self._timestep is None or now > self._timestep:
            self._levels = NoiseLevels(self._pipe.scheduler)
            self._start = self._levels.at(now)
            self.step = 0
        elif now < self._timestep:
            self.step += 1
        self._timestep = now
        self.level = self._levels.at(now) if self._levels else self.level
        self._rules.move_to(Moment(self.step, self.level, self._start), halves=sample.shape[0])
        if self.active and sample.shape[2] != len(self._labels):
            raise EngineError(
                "frame_mismatch",
                f"The label map has {len(self._labels)} frames, but the pipeline generates "
                f"{sample.shape[2]}; make both the same.",
            )
        if self._contexts is None or not self._rules.reads_contexts:
            return None
        text = args[2] if len(args) > 2 else kwargs["encoder_hidden_states"]  # (batch, tokens, channels)
        text = torch.cat([text, self._contexts.to(text).expand(len(text), -1, -1)], dim=1)
        if len(args) > 2:
            return (*args[:2], text, *args[3:]), kwargs
        return args, {**kwargs, "encoder_hidden_states": text}

    def before_transformer(self, transformer, args, kwargs) -> None:
        """Note the grid (h, w) of a transformer from its input (batch*F, channels, h, w)."""
        hidden_states = kwargs.get("hidden_states", args[0] if args else None)
        self._grids[transformer] = tuple(hidden_states.shape[-2:])

    def wrap(self, site: Site, forward: Callable) -> Callable:
        """The ``forward`` of one attention layer under guidance."""
        gated = self.steering.gate_second_temporal and site.kind == "temporal" and site.is_second

        def guided(hidden_states, *args, **kwargs):
            if not self._rules.acts(site.kind):
                return forward(hidden_states, *args, **kwargs)
            grid = self._grids[site.transformer]
            if gated:
                return self._foreground_only(site, grid, forward, hidden_states, *args, **kwargs)
            rule = self._rules.rule(site.kind, grid)
            return call_under_rule(rule, site.path, forward, hidden_states, *args, **kwargs)

        return guided

    def _foreground_only(self, site: Site, grid, forward: Callable, hidden_states, *args, **kwargs):
        """The released gate: background tokens come in as zeros before the norm and get nothing out."""
        labels = self._rules.labels_at(grid, "temporal").flatten(1).T  # (h*w, F)
        repeats = hidden_states.shape[0] // len(labels)
        foreground = (labels != BACKGROUND).repeat(repeats, 1)[..., None].to(hidden_states.device)
        # LN(0) is the norm's bias; hidden_states has been through the norm already.
        of_zero = site.norm.bias if isinstance(site.norm.bias, torch.Tensor) else hidden_states.new_zeros(())
        out = forward(torch.where(foreground, hidden_states, of_zero), *args, **kwargs)
        return out * foreground
