# SPDX-License-Identifier: GPL-3.0-or-later
"""Steering a pipeline: masked attention while the clip takes shape, then free generation."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import nn

from ..errors import EngineError
from ..families import Family, Grid, family_of
from ..names import Kind
from .bypasses import check_denoiser, share_of, uncompiled
from .interception import call_under_rule, only_once, stand_in_for_attention, wrapped_forwards, wrapped_method
from .labels import check_label_map, small_subjects, widen
from .outlines import led_to, shaped
from .prompts import Prompts
from .redrawing import Redrawing
from .rules import Rules, Subjects
from .runs import Reading, Run
from .settings import (
    PEEKABOO,
    Steering,
    changed,
    check_contexts,
    check_for_family,
    check_given,
    check_strengths,
    check_times_phrases,
)
from .sites import Site, attention_sites
from .steps import Turns
from .timing import Timed

_log = logging.getLogger(__name__)

DENSE_TO = 2**26
"""From this many pairs of a clip's tokens on, the mask that a model makes of all pairs of a joint layer is
not made in steps without masks either: the same is read, equal but for rounding. Its layers get their mask
without its content ("meta"), so that what they make of it takes no memory; the rule says what it would."""


@contextlib.contextmanager
def peekaboo(
    pipe: DiffusionPipeline,
    labels: np.ndarray,
    phrases: list[str],
    *,
    steering: Steering = PEEKABOO,
    strengths: np.ndarray | None = None,
    given: Collection[int] | None = None,
    timed: Timed | None = None,
    notice: Callable[[str], None] = _log.warning,
    **changes: Any,
) -> Iterator[Guidance]:
    """Steer every call of ``pipe`` inside the ``with`` block by a label map.

    Example::

        pipe = TextToVideoSDPipeline.from_pretrained(folder)
        labels = np.zeros((16, 160, 288), np.uint8)
        labels[:, 40:120, 30:110] = 1
        with peekaboo(pipe, labels, ["a red ball"], masked_steps=4):
            frames = pipe("a red ball on grass", num_frames=16, height=160, width=288).frames[0]

    Steps in which nothing is steered, and all after the block, are bit for bit the unmodified pipeline (but
    for rounding in large clips of models with joint attention, :data:`DENSE_TO`).
    Inside the block the pipeline cannot be pickled or copied, and it cannot be steered by another block.

    Args:
        pipe: a pipeline of one of :mod:`..families`, such as ``TextToVideoSDPipeline``.
        labels: integer (frames, height, width) at any resolution, top row first, 0 background, k for the
            subject of ``phrases[k-1]``. As many frames as the pipeline generates.
        phrases: for each subject its words in the prompt.
        steering: how; a preset of :mod:`.settings`.
        strengths: how long each subject is held in each frame, as a share of every window of ``steering``:
            float (subjects, frames) in 0..1, all 1 by default. A subject that is no longer held in a frame
            counts as background there, its words too. Neither paper nor released code know it.
        given: frames of the label map that the pipeline is given as pictures, such as 0 and -1. What is in
            them is known, so their tokens belong to no group: they see everything, as without masks, and
            everything sees them. By default the first frame, of pipelines that are always given it.
        timed: phrases of the prompt that some frames alone read, see :data:`.timing.Timed`, through the
            whole sampling. A subject none of whose words are read in a frame is not there in it.
        notice: told in a sentence what of the steering has no effect in this run.
        changes: fields of :class:`.Steering` that differ from ``steering``, such as ``masked_steps=4``; where
            masks end at a noise level that is refused, so a ``steering`` of such needs ``until=None`` beside.

    Yields:
        The :class:`Guidance` in force.

    Raises:
        EngineError: for labels, phrases, options or a pipeline that do not fit, or that is steered already;
            from the pipeline's call if a layer that should be masked was not.
    """
    if isinstance(phrases, str):  # whose characters would each be a subject's phrase
        raise EngineError(
            "bad_option", f'phrases is "{phrases}"; give a list, with the words of each subject.'
        )
    steering = changed(steering, changes)
    family = family_of(*(each.__name__ for each in type(pipe).__mro__))
    denoisers = _denoisers(pipe, family)
    with contextlib.ExitStack() as stack:
        guidance = Guidance(
            pipe,
            family,
            labels,
            phrases,
            steering,
            strengths=strengths,
            given=given,
            timed=dict(timed or {}),
            notice=notice,
            stack=stack,
        )
        sites = {denoiser: guidance.sites(denoiser) for denoiser in denoisers}
        stack.enter_context(only_once(denoisers))
        for denoiser, own in sites.items():
            _put_on(denoiser, own, guidance, stack)
        stack.enter_context(wrapped_method(pipe, "encode_prompt", guidance.wrap_encoding))
        stack.enter_context(stand_in_for_attention())
        guidance.follow_scheduler()
        yield guidance


def _put_on(denoiser: nn.Module, sites: list[Site], guidance: Guidance, stack: contextlib.ExitStack) -> None:
    """Have a denoiser, its levels and its attention layers call the guidance, until the stack is left."""
    signature = inspect.signature(type(denoiser).forward)
    before = partial(guidance.before_denoiser, signature)
    stack.callback(denoiser.register_forward_pre_hook(before, with_kwargs=True).remove)
    if guidance.steering.outline:
        after = partial(guidance.after_denoiser, signature)
        stack.callback(denoiser.register_forward_hook(after, with_kwargs=True).remove)
    for level in {site.level for site in sites if site.level}:
        handle = level.register_forward_pre_hook(guidance.before_level, with_kwargs=True)
        stack.callback(handle.remove)
    stack.enter_context(
        wrapped_forwards(
            {site.attention: uncompiled(denoiser, partial(guidance.wrap, site)) for site in sites}
        )
    )


def _denoisers(pipe: DiffusionPipeline, family: Family) -> list[nn.Module]:
    """The denoisers of a pipeline that can be steered."""
    held = [getattr(pipe, name, None) for name in family.denoisers]
    denoisers = [denoiser for denoiser in held if denoiser is not None]
    for denoiser in denoisers:
        check_denoiser(denoiser)
    return denoisers


class Guidance:
    """What is steered, and until when; made by :func:`peekaboo`.

    Attributes:
        steering: its settings.
    """

    def __init__(
        self,
        pipe,
        family: Family,
        labels,
        phrases,
        steering: Steering,
        *,
        strengths,
        given,
        timed: Timed,
        notice,
        stack,
    ):
        check_for_family(steering, family)
        labels = check_label_map(labels, phrases)
        small = small_subjects(labels, len(phrases), steering.least_area)
        labels = widen(labels, small, steering.least_area)
        configs: dict[str, Any] = {
            name: part.config for name, part in pipe.components.items() if isinstance(part, nn.Module)
        }
        self.steering = steering
        self._pipe, self._family, self._notice, self._stack = pipe, family, notice, stack
        self._phrases = list(phrases)
        if timed:
            check_times_phrases(steering, family)
        for phrase in (phrase for phrase, weights in timed.items() if not np.any(weights)):
            notice(f'No frame of this clip reads "{phrase}".')
        self._cells = family.cells(configs)
        self._frames = len(labels)
        self._cells.check_frames(self._frames)
        strengths = check_strengths(strengths, len(phrases), self._frames)
        check_contexts(steering, family, configs)
        classes = {each.__name__ for each in type(pipe).__mro__}
        always = (0,) if classes & family.given_picture else ()
        given = check_given(always if given is None else given, self._frames)
        subjects = Subjects(labels, strengths, self._cells.frames, given, small, steering.cell_share)
        self._prompts = Prompts(
            pipe, family.text, self._cells, steering, subjects, self._phrases, timed, self._frames, notice
        )
        self._redrawing: Redrawing | None = None
        if family.codec and steering.redraws:
            self._redrawing = Redrawing(family.codec, pipe, subjects, steering)
        self._reading: Reading | None = None  # until a prompt is encoded
        self._run: Run | None = None  # until the denoiser is called
        self._turns = Turns()
        self._scheduler: Any = None
        self._grids: dict[nn.Module | None, Grid] = {}

    @property
    def step(self) -> int:
        """Index of the current denoising step, -1 before the first."""
        return self._run.now.step if self._run else -1

    @property
    def level(self) -> float:
        """Noise level of the current step, see :mod:`.levels`."""
        return self._run.now.level if self._run else 1.0

    @property
    def active(self) -> bool:
        """Whether anything is steered in the current step."""
        rules = self._rules
        return rules is not None and any(rules.acts(kind) for kind in get_args(Kind))

    @property
    def _rules(self) -> Rules | None:
        return self._run.reading.rules if self._run else None

    def sites(self, denoiser: nn.Module) -> list[Site]:
        """The attention layers that are steered."""
        every = attention_sites(denoiser, self._family, self.steering.blocks)
        return [
            site
            for site in every
            if site.kind in self.steering.kinds
            and (site.kind != "full" or site.depth < self.steering.self_share)
        ]

    def follow_scheduler(self) -> None:
        """Count the calls of the scheduler that the pipeline has now."""
        if self._pipe.scheduler is not self._scheduler:
            self._scheduler = self._pipe.scheduler
            self._stack.enter_context(wrapped_method(self._scheduler, "step", self._wrap_step))

    def _wrap_step(self, step: Callable) -> Callable:
        """The scheduler's ``step``, counted, and given what is redrawn."""
        counted, redrawing = self._turns.counting(step), self._redrawing
        if redrawing is None:
            return counted

        @functools.wraps(step)  # pipelines look at its signature
        def stepping(model_output, timestep, sample, *args, **kwargs):
            if self._run is not None:
                model_output = redrawing.changed(self._run, model_output, sample)
            return counted(model_output, timestep, sample, *args, **kwargs)

        return stepping

    def wrap_encoding(self, encode_prompt: Callable) -> Callable:
        """The pipeline's ``encode_prompt``, which tells the prompt of each call before it is encoded."""
        signature = inspect.signature(encode_prompt)

        def reporting(*args, **kwargs):
            call = signature.bind(*args, **kwargs)
            call.apply_defaults()
            self.follow_scheduler()
            text, waiting = self._family.text, self._reading
            if text.apart and waiting and waiting.negative is None and self._run is None:
                encoded = encode_prompt(*args, **kwargs)
                self._reading = replace(waiting, negative=text.halves(encoded)[0])
                return encoded
            rules, contexts = self._prompts.read(encode_prompt, call)
            encoded = encode_prompt(*args, **kwargs)
            self._reading = Reading(rules, contexts, *text.halves(encoded))
            self._run = None
            if self.steering.contrast and self._phrases and self._reading.negative is None:
                self._notice("There is no contrast: guidance, whose other half it needs, is off (scale 1).")
            return encoded

        return reporting

    def before_denoiser(self, signature: inspect.Signature, denoiser, args, kwargs):
        """Find out where the sampling is, from the denoiser's own call.

        Returns:
            The denoiser's arguments with the contexts behind its text, where these are read.
        """
        call = signature.bind(denoiser, *args, **kwargs)
        text = call.arguments["encoder_hidden_states"]  # (batch, tokens, channels)
        timestep = float(torch.as_tensor(call.arguments["timestep"]).max())  # given frames are at 0
        if self._reading is None:
            raise EngineError(
                "one_prompt",
                "The denoiser was called before the pipeline encoded a prompt to find the phrases in; "
                "call the pipeline itself.",
            )
        if self._run is None or self._run.is_over(timestep, self._turns.done):
            self._turns.done = 0
            self._run = Run(self._reading, self._pipe.scheduler, timestep)
            self._tell_what_is_too_late(self._run)
        run, rules = self._run, self._reading.rules
        run.move_to(timestep, self._turns.done)
        if self._redrawing:
            self._redrawing.see(call.arguments["hidden_states"], call.arguments["timestep"])
        grid = self._family.grid(denoiser, call.arguments)
        repeats = grid.frames if self._family.text.per_frame else 1
        halves = run.halves(text, self._family.halves, repeats) if rules.tells_halves else (True,)
        beside = self._family.beside and self._family.beside(call.arguments, rules.text(halves[0]))
        rules.move_to(run.now, halves, beside)
        if self.active and self._cells.frames_of(grid.frames) != self._frames:
            raise EngineError(
                "frame_mismatch",
                f"The label map has {self._frames} frames, but the pipeline generates "
                f"{self._cells.frames_of(grid.frames)}; make both the same.",
            )
        self._grids[None] = grid
        if self._reading.contexts is None or not rules.reads_contexts:
            return None
        contexts = self._reading.contexts.to(text).expand(len(text), -1, -1)
        longer = torch.cat([text, contexts], dim=1)
        if "encoder_hidden_states" in kwargs:
            changed = {**kwargs, "encoder_hidden_states": longer}
            if (mask := kwargs.get("encoder_attention_mask")) is not None:
                changed["encoder_attention_mask"] = torch.cat(
                    [mask, mask.new_ones(contexts.shape[:2])], dim=1
                )
            return args, changed
        return tuple(longer if each is text else each for each in args), kwargs

    def after_denoiser(self, signature: inspect.Signature, denoiser, args, kwargs, out):
        """Shape what the denoiser expects by the masks, see :mod:`.outlines`.

        Returns:
            Its output, of velocities (batch, channels, frames, rows, columns).
        """
        velocity, *others = out if isinstance(out, tuple) else (out.sample,)
        run, rules = self._run, self._rules
        if run is None or rules is None or (shares := rules.outlines(*velocity.shape[-2:])) is None:
            return out
        firmness = min(1.0, self.steering.outline / len(run.turns_within(self.steering.masks)))
        seen = signature.bind(denoiser, *args, **kwargs).arguments["hidden_states"]
        outlined = partial(shaped, shares=shares.to(velocity.device), firmness=firmness)
        led = led_to(outlined, velocity, seen[:, : velocity.shape[1]], run.now.level)
        return (led, *others) if isinstance(out, tuple) else type(out)(sample=led)

    def _tell_what_is_too_late(self, run: Run) -> None:
        """Sampling that starts from a clip may start below the level at which a window ends."""
        for what, until in (("masks", self.steering.until), ("binding", self.steering.bound_until)):
            if until is not None and run.now.level <= until < 1 and self._phrases:
                self._notice(
                    f"There are no {what}: they end at noise level {until:g}, and sampling starts below, at "
                    f"{run.now.level:.2f}."
                )

    def before_level(self, module, args, kwargs) -> None:
        """Note rows and columns of a level from the input of its module, (batch*F, channels, h, w)."""
        hidden_states = kwargs.get("hidden_states", args[0] if args else None)
        self._grids[module] = self._grids[None]._replace(
            rows=hidden_states.shape[-2], columns=hidden_states.shape[-1]
        )

    def wrap(self, site: Site, forward: Callable) -> Callable:
        """The ``forward`` of one attention layer under guidance."""
        gate = self._family.gate if self.steering.gate_second_temporal and site.layers.gated else None

        def guided(hidden_states, *args, **kwargs):
            rules = self._rules
            if rules is None or not self._family.attends(kwargs):
                return forward(hidden_states, *args, **kwargs)
            grid, acts = self._grids[site.level], rules.acts(site.kind)
            if site.kind == "joint" and (acts or math.prod(grid) ** 2 >= DENSE_TO):
                kwargs = {**kwargs, "attention_mask": kwargs["attention_mask"].to("meta")}
            elif not acts:
                return forward(hidden_states, *args, **kwargs)
            if gate:
                foreground = rules.foreground(site.layers, grid)
                repeats = hidden_states.shape[0] // len(foreground)
                foreground = foreground.repeat(repeats, 1)[..., None].to(hidden_states.device)
                return gate(site.block, forward, hidden_states, foreground, *args, **kwargs)
            over_text_only = site.kind == "joint" and site.depth >= self.steering.self_share
            rule = rules.rule(site.layers, grid, over_text_only) if acts else rules.as_read(grid)
            share = share_of(site.attention)
            return call_under_rule(rule, site.path, forward, hidden_states, *args, share=share, **kwargs)

        return guided
