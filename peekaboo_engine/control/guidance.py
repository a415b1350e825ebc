# SPDX-License-Identifier: GPL-3.0-or-later
"""Peekaboo on a pipeline: masked attention for the first denoising steps, then free generation."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import get_args

import numpy as np
import torch
from diffusers import DiffusionPipeline, UNet3DConditionModel

from ..errors import EngineError
from .attention import Rule
from .interception import call_under_rule, stand_in_for_attention, wrapped_forwards
from .labels import BACKGROUND, check_label_map, pool_labels
from .sites import Blocks, Kind, Site, attention_sites
from .spans import SpecialTokens, label_tokens


@contextlib.contextmanager
def peekaboo(
    pipe: DiffusionPipeline,
    labels: np.ndarray,
    phrases: list[str],
    *,
    masked_steps: int = 2,
    blocks: Blocks = "all",
    special_tokens: SpecialTokens = "background",
    gate_second_temporal: bool = False,
    strengths: np.ndarray | None = None,
    kinds: Collection[Kind] = get_args(Kind),
) -> Iterator["Guidance"]:
    """Steer every call of ``pipe`` inside the ``with`` block by a label map.

    Example::

        pipe = TextToVideoSDPipeline.from_pretrained(folder)
        labels = np.zeros((16, 160, 288), np.uint8)
        labels[:, 40:120, 30:110] = 1
        with peekaboo(pipe, labels, ["a red ball"], masked_steps=4):
            frames = pipe("a red ball on grass", num_frames=16, height=160, width=288).frames[0]

    Steps from ``masked_steps`` on, and everything after the block, are bit for bit the unmodified pipeline.
    Both halves of classifier-free guidance are masked, as in the released code.

    Args:
        pipe: a pipeline with a ``UNet3DConditionModel``, such as ``TextToVideoSDPipeline``.
        labels: integer (frames, height, width) at any resolution, top row first, 0 background, k for the
            subject of ``phrases[k-1]``. As many frames as the pipeline generates.
        phrases: for each subject its words in the prompt.
        masked_steps: first denoising steps that are masked; the paper takes 2 of 40, 4 for its IMC benchmark.
        blocks: ``all``, or ``mid_up`` as in the released code.
        special_tokens: who sees start, end and padding tokens, see :data:`.spans.SpecialTokens`.
        gate_second_temporal: do with the second temporal attention of each block what the released code does
            and the paper does not mention: h + M * Attn2(LN(M * h)) with M = 1 on foreground, unmasked inside
            (src/models/attention.py:313-325,394). Otherwise it is masked like the first.
        strengths: how long each subject is held in each frame, as a share of ``masked_steps``: float
            (subjects, frames) in 0..1, all 1 by default. A subject that is no longer held in a frame counts
            as background there, its words too. Neither paper nor released code know it.
        kinds: which kinds of attention are masked; for ablations such as the paper's table 3.

    Yields:
        The :class:`Guidance` in force.

    Raises:
        EngineError: for labels, phrases or a pipeline that do not fit; from the pipeline's call if a layer
            that should be masked was not.
    """
    _check_option("blocks", blocks, blocks in get_args(Blocks), get_args(Blocks))
    _check_option("kinds", list(kinds), set(kinds) <= set(get_args(Kind)), f"some of {get_args(Kind)}")
    guidance = Guidance(pipe, labels, phrases, masked_steps, special_tokens, gate_second_temporal, strengths)
    unet: UNet3DConditionModel = pipe.unet
    sites = [site for site in attention_sites(unet, blocks) if site.kind in kinds]
    with contextlib.ExitStack() as stack:
        stack.callback(unet.register_forward_pre_hook(guidance.before_denoiser, with_kwargs=True).remove)
        for transformer in {site.transformer for site in sites}:
            handle = transformer.register_forward_pre_hook(guidance.before_transformer, with_kwargs=True)
            stack.callback(handle.remove)
        stack.enter_context(
            wrapped_forwards({site.attention: partial(guidance.wrap, site) for site in sites})
        )
        stack.enter_context(_reporting_prompt(pipe, guidance.read_prompt))
        stack.enter_context(stand_in_for_attention())
        yield guidance


@contextlib.contextmanager
def _reporting_prompt(pipe: DiffusionPipeline, report: Callable) -> Iterator[None]:
    """Tell ``report`` the prompt of each call of the pipeline, before it is encoded."""
    encode_prompt = pipe.encode_prompt

    def reporting(prompt, *args, **kwargs):
        report(prompt)
        return encode_prompt(prompt, *args, **kwargs)

    before = pipe.__dict__.get("encode_prompt")
    pipe.encode_prompt = reporting
    try:
        yield
    finally:
        if before is None:
            del pipe.encode_prompt
        else:
            pipe.encode_prompt = before


def _check_option(name: str, value, allowed: bool, choices) -> None:
    if not allowed:
        raise EngineError("bad_option", f'{name} is "{value}"; give {choices}.')


def _check_strengths(strengths: np.ndarray | None, subjects: int, frames: int) -> np.ndarray:
    if strengths is None:
        return np.ones((subjects, frames))
    strengths = np.asarray(strengths, np.float64)
    fits = strengths.shape == (subjects, frames) and bool(((strengths >= 0) & (strengths <= 1)).all())
    _check_option("strengths", strengths.tolist(), fits, f"{subjects} x {frames} numbers from 0 to 1")
    return strengths


class Guidance:
    """What is masked, and until when; made by :func:`peekaboo`.

    Attributes:
        step: index of the current denoising step, -1 before the first.
        active: whether the current step is masked.
    """

    def __init__(self, pipe, labels, phrases, masked_steps, special_tokens, gate_second_temporal, strengths):
        if not isinstance(getattr(pipe, "unet", None), UNet3DConditionModel):
            raise EngineError(
                "unsupported_pipeline",
                f"{type(pipe).__name__} has no UNet3DConditionModel; use a text-to-video pipeline of "
                "that family (TextToVideoSDPipeline).",
            )
        self.step = -1
        self._pipe = pipe
        self._labels = check_label_map(labels, phrases)
        _check_option("masked_steps", masked_steps, masked_steps >= 0, "0 or more")
        _check_option(
            "special_tokens",
            special_tokens,
            special_tokens in get_args(SpecialTokens),
            get_args(SpecialTokens),
        )
        self._phrases = list(phrases)
        self._special_tokens: SpecialTokens = special_tokens
        self._gate_second_temporal = gate_second_temporal
        self._held_steps = masked_steps * _check_strengths(strengths, len(phrases), len(self._labels))
        self._held = torch.zeros(0)  # label of each subject in each frame, 0 where it is not held any more
        self._timestep: float | None = None
        self._tokens = torch.zeros(0, dtype=torch.long)  # until a prompt is read
        self._grids: dict[torch.nn.Module, tuple[int, int]] = {}
        self._pooled: dict[tuple[int, int], torch.Tensor] = {}
        self._rules: dict[tuple[str, tuple[int, int]], Rule] = {}
        self._hold()
        self.active = False

    def read_prompt(self, prompt: str | list[str] | None) -> None:
        """Label the tokens of the prompt that the pipeline is about to encode."""
        prompts = prompt if isinstance(prompt, list) else [prompt]
        if len(prompts) != 1 or prompts[0] is None:
            raise EngineError(
                "one_prompt",
                "Masked generation needs the text of exactly one prompt to find the phrases in; "
                "call the pipeline with one prompt and without prompt_embeds.",
            )
        tokenizer = self._pipe.tokenizer
        # Textual inversion replaces words by several tokens: offsets count in the text after that.
        text = self._pipe.maybe_convert_prompt(prompts[0], tokenizer)
        self._tokens = torch.from_numpy(label_tokens(tokenizer, text, self._phrases, self._special_tokens))
        self._rules = {key: rule for key, rule in self._rules.items() if key[0] != "cross"}
        self._timestep = None  # a new run

    def before_denoiser(self, unet, args, kwargs) -> None:
        """Count steps by the timestep of the denoiser's own call, which every scheduler and pipeline has.

        An equal timestep is another call of the same step, a larger one is a new run. So schedulers that
        round timesteps are counted right while these stay apart: up to some 300 steps of 1000 in training.
        """
        sample = kwargs.get("sample", args[0] if args else None)
        timestep = kwargs.get("timestep", args[1] if len(args) > 1 else None)
        now = float(torch.as_tensor(timestep).flatten()[0])
        if self._timestep is None or now > self._timestep:
            self.step = 0
        elif now < self._timestep:
            self.step += 1
        self._timestep = now
        self._hold()
        if self.active and sample.shape[2] != len(self._labels):
            raise EngineError(
                "frame_mismatch",
                f"The label map has {len(self._labels)} frames, but the pipeline generates "
                f"{sample.shape[2]}; make both the same.",
            )

    def _hold(self) -> None:
        """Find out which subjects are held in which frames at this step."""
        holding = torch.from_numpy(self.step < self._held_steps)  # (subjects, F)
        self.active = bool(holding.any())
        background = torch.zeros(1, holding.shape[1], dtype=torch.bool)
        held = torch.cat([background, holding]) * torch.arange(len(holding) + 1)[:, None]
        if not torch.equal(held, self._held):
            self._held = held
            self._rules.clear()

    def before_transformer(self, transformer, args, kwargs) -> None:
        """Note the grid (h, w) of a transformer from its input (batch*F, channels, h, w)."""
        hidden_states = kwargs.get("hidden_states", args[0] if args else None)
        self._grids[transformer] = tuple(hidden_states.shape[-2:])

    def wrap(self, site: Site, forward: Callable) -> Callable:
        """The ``forward`` of one attention layer under guidance."""
        gated = self._gate_second_temporal and site.kind == "temporal" and site.is_second

        def guided(hidden_states, *args, **kwargs):
            if not self.active:
                return forward(hidden_states, *args, **kwargs)
            if gated:
                return self._foreground_only(site, forward, hidden_states, *args, **kwargs)
            rule = self._rule(site.kind, self._grids[site.transformer])
            return call_under_rule(rule, site.path, forward, hidden_states, *args, **kwargs)

        return guided

    def _foreground_only(self, site: Site, forward: Callable, hidden_states, *args, **kwargs):
        """The released gate: background tokens come in as zeros before the norm and get nothing out."""
        labels = self._labels_at(self._grids[site.transformer]).flatten(1).T  # (h*w, F)
        repeats = hidden_states.shape[0] // len(labels)
        foreground = (labels != BACKGROUND).repeat(repeats, 1)[..., None].to(hidden_states.device)
        # LN(0) is the norm's bias; hidden_states has been through the norm already.
        of_zero = site.norm.bias if isinstance(site.norm.bias, torch.Tensor) else hidden_states.new_zeros(())
        out = forward(torch.where(foreground, hidden_states, of_zero), *args, **kwargs)
        return out * foreground

    def _labels_at(self, grid: tuple[int, int]) -> torch.Tensor:
        """The label map pooled to a level, with the subjects that are held: int64 (F, h, w)."""
        if grid not in self._pooled:
            self._pooled[grid] = torch.from_numpy(pool_labels(self._labels, *grid)).long()
        pooled = self._pooled[grid]
        return self._held[pooled, torch.arange(len(pooled))[:, None, None]]

    def _tokens_in_frames(self) -> torch.Tensor:
        """The labels of the prompt's tokens in each frame, of the subjects held there: int64 (F, tokens)."""
        frames = torch.arange(len(self._labels))[:, None]
        tokens = self._tokens.expand(len(frames), -1)
        return torch.where(tokens > BACKGROUND, self._held[tokens.clamp(min=BACKGROUND), frames], tokens)

    def _rule(self, kind: str, grid: tuple[int, int]) -> Rule:
        if (kind, grid) not in self._rules:
            pixels = self._labels_at(grid).flatten(1)  # (F, h*w)
            if kind == "temporal":
                rule = Rule(pixels.T, pixels.T)
            elif kind == "spatial":
                rule = Rule(pixels, pixels)
            else:
                rule = Rule(pixels, self._tokens_in_frames())
            self._rules[kind, grid] = rule
        return self._rules[kind, grid]
