# SPDX-License-Identifier: GPL-3.0-or-later
"""How masks act: every switch of the method, each off unless set, and the presets made of them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, get_args

import numpy as np

from ..errors import EngineError
from ..families import Configs, Family
from ..names import Blocks, Kind, Method, SpecialTokens
from .labels import MOST
from .windows import Window


@dataclass(frozen=True)
class Steering:
    """Switches of :func:`.peekaboo`. The default is Peekaboo as we build it (docs/reference/method.md).

    A **noise level** is the share of noise in what the denoiser sees, noise_std / (signal_coefficient +
    noise_std): 1 is pure noise, 0 the clean clip (:mod:`.levels`). The same level is the same moment with any
    number of steps and any scheduler.

    Args:
        masked_steps: first denoising steps that are masked; the paper takes 2 of 40, 4 for its IMC benchmark.
        until: noise level at which the masks end, instead of after a number of steps; 0 is never, 1 at once.
        blocks: ``all``, or ``mid_up`` as in the released code.
        kinds: which kinds of attention are masked; for ablations such as the paper's table 3.
        special_tokens: who sees start, end and padding tokens, see :data:`.spans.SpecialTokens`.
        gate_second_temporal: do with the second temporal attention of a block what the released code does and
            the paper does not mention: h + M * Attn2(LN(M * h)) with M = 1 on foreground, unmasked inside
            (src/models/attention.py:313-325,394). Otherwise it is masked like the first.
        contrast: while cross-attention is masked, the unconditional half of classifier-free guidance reads
            besides what does not belong to a pixel: the background each subject's phrase, a subject's pixels
            the prompt without the phrases. Guidance then pushes each away from the other. Nothing without
            guidance.
        push: the same contrast inside cross-attention, where it needs no guidance and so works in few-step
            models: how far what is read is pushed away from what does not belong to a pixel, as the scale of
            normalized attention guidance (arXiv 2505.21179); 0 is not at all.
        bound_until: noise level down to which, once the masks of cross-attention have ended, a subject's
            words stay hidden from pixels outside it, while its own pixels read all but the words of other
            such subjects; 1 is not at all. Direct-a-Video (arXiv 2402.03162) suppresses mismatched pairs
            through the whole sampling.
        bound_penalty: what binding takes off the score of such words; infinity hides them. Prompt Relay
            (arXiv 2604.10030) binds words to a time in this soft way.
        self_share: share of the layers of full attention, from the first, that are masked; of joint
            attention, of those in which pixels see only their own.
        self_penalty: what masks of full and joint attention take off the score of tokens of another label.
        least_area: share of the picture that a model needs to draw a subject. Masks of a smaller one are
            widened to it (:func:`.labels.widen`), and its words are not bound: what does not come up inside
            of its mask may still do so beside it. 0 leaves all masks as they are.
        cell_share: from which share of what a token stands for on it is a subject's and not the background's
            (:class:`.labels.Pools`); a half is the greater part.
        outline: how firmly what the denoiser expects is shaped by the masks where their outlines are, while
            they act (:mod:`.outlines`): so many times all the way, shared out evenly among the masked steps,
            and at most once in each. 0 is not at all. For masks that show what subjects look like.
        redraws: how often, once the masks have ended, the clip is decoded, redrawn along the outlines of its
            frames and encoded (:mod:`.redrawing`). 0 is not at all. For such masks, too.
        redraw_until: noise level down to which that holds.

    Raises:
        EngineError: ``bad_option``.
    """

    masked_steps: int = 2
    until: float | None = None
    blocks: Blocks = "all"
    kinds: tuple[Kind, ...] = get_args(Kind)
    special_tokens: SpecialTokens = "background"
    gate_second_temporal: bool = False
    contrast: bool = False
    push: float = 0.0
    bound_until: float = 1.0
    bound_penalty: float = math.inf
    self_share: float = 1.0
    self_penalty: float = math.inf
    least_area: float = 0.0
    cell_share: float = MOST
    outline: float = 0.0
    redraws: int = 0
    redraw_until: float = 0.7

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))
        for name in ("masked_steps", "redraws"):
            count = getattr(self, name)
            fits = isinstance(count, Integral) and int(count) >= 0
            check_option(name, count, fits, "a whole number, 0 or more")
        for name, choices in (("blocks", get_args(Blocks)), ("special_tokens", get_args(SpecialTokens))):
            check_option(name, getattr(self, name), getattr(self, name) in choices, choices)
        known = set(self.kinds) <= set(get_args(Kind))
        check_option("kinds", list(self.kinds), known, f"some of {get_args(Kind)}")
        check_option("until", self.until, self.until is None or 0 <= self.until <= 1, "a number from 0 to 1")
        for name in ("bound_until", "self_share", "least_area", "redraw_until"):
            value = getattr(self, name)
            check_option(name, value, 0 <= value <= 1, "a number from 0 to 1")
        check_option("cell_share", self.cell_share, 0 < self.cell_share <= MOST, f"up to {MOST}, above 0")
        for name in ("push", "outline", "bound_penalty", "self_penalty"):
            value = getattr(self, name)
            finite = name not in ("push", "outline") or value < math.inf
            check_option(name, value, value >= 0 and finite, "a number from 0 on")
        everywhere = self.blocks == "all" and bool({"cross", "joint"} & set(self.kinds))
        for name, default in (("contrast", False), ("push", 0.0), ("bound_until", 1.0)):
            check_option(
                name,
                getattr(self, name),
                everywhere or getattr(self, name) == default,
                f"{default} where not all layers of cross-attention are masked",
            )

    @property
    def masks(self) -> Window:
        """Until when the masks act."""
        return Window(self.until, self.masked_steps)


def changed(steering: Steering, changes: dict[str, Any]) -> Steering:
    """A steering of which some fields are otherwise.

    Raises:
        EngineError: ``bad_option``, also for steps of masks that end at a noise level.
    """
    steering = replace(steering, **changes)
    if "masked_steps" in changes and steering.until is not None:
        raise EngineError(
            "bad_option",
            f"masked_steps would be passed over, as these masks end at the noise level {steering.until}; "
            "give until=None, or leave it out.",
        )
    return steering


def check_for_family(steering: Steering, family: Family) -> None:
    """Refuse settings that a family of models has no use for.

    Raises:
        EngineError: ``bad_option``.
    """
    check_option("blocks", steering.blocks, steering.blocks in family.blocks, tuple(family.blocks))
    gated = steering.gate_second_temporal
    check_option("gate_second_temporal", gated, family.gate or not gated, f"false for {family.name} models")
    for name in ("contrast", "push"):
        value = getattr(steering, name)
        check_option(name, value, family.contrast or not value, f"0 or false for {family.name} models")
    value = steering.outline
    check_option("outline", value, family.outlines or not value, f"0 for {family.name} models")
    redraws = steering.redraws
    check_option("redraws", redraws, family.codec is not None or not redraws, f"0 for {family.name} models")
    some = not steering.kinds or bool(set(steering.kinds) & family.kinds)
    check_option("kinds", list(steering.kinds), some, f"some of {sorted(family.kinds)}")


def check_times_phrases(steering: Steering, family: Family) -> None:
    """Refuse phrases over time where not all of the text is read by cross-attention that is masked.

    Raises:
        EngineError: ``bad_option``.
    """
    if not family.times_phrases:
        raise EngineError(
            "bad_option",
            f"Phrases over time are not for {family.name} models, whose words are not read frame by frame: "
            "leave them out, or choose another model.",
        )
    if "cross" not in steering.kinds or steering.blocks != "all":
        raise EngineError(
            "bad_option",
            "Phrases over time need all layers of cross-attention, and not all are masked here: leave them "
            'out, or set the blocks to "all".',
        )


def check_contexts(steering: Steering, family: Family, configs: Configs) -> None:
    """Refuse contrast in a model whose denoiser reads no text that is longer than its prompt.

    Raises:
        EngineError: ``bad_option``.
    """
    for name, default in (("contrast", False), ("push", 0.0)):
        value = getattr(steering, name)
        fits = value == default or family.reads_contexts(configs)
        check_option(name, value, fits, f"{default}, since this model reads its prompt alone")


def check_strengths(strengths: np.ndarray | None, subjects: int, frames: int) -> np.ndarray:
    """How long subjects are held, as float (subjects, frames): all of each window where it is left out.

    Raises:
        EngineError: ``bad_option``.
    """
    if strengths is None:
        return np.ones((subjects, frames))
    strengths = np.asarray(strengths, np.float64)
    fits = strengths.shape == (subjects, frames) and bool(((strengths >= 0) & (strengths <= 1)).all())
    check_option("strengths", strengths.tolist(), fits, f"{subjects} x {frames} numbers from 0 to 1")
    return strengths


def check_given(given: Collection[int], frames: int) -> np.ndarray:
    """Which frames of a label map are given as pictures, as bool (frames,).

    Raises:
        EngineError: ``bad_option``.
    """
    within = all(-frames <= frame < frames for frame in given)
    check_option("given", list(given), within, f"frames of the label map, which has {frames}")
    flags = np.zeros(frames, bool)
    flags[list(given)] = True
    return flags


def check_option(name: str, value, allowed: object, choices) -> None:
    """Refuse a value that is not allowed.

    Raises:
        EngineError: ``bad_option``.
    """
    if not allowed:
        named = " or ".join(f'"{each}"' for each in choices) if isinstance(choices, tuple) else choices
        raise EngineError("bad_option", f'{name} is "{value}"; give {named}.')


PEEKABOO = Steering()
"""The paper's masks, read as in docs/reference/method.md."""

RELEASED = Steering(blocks="mid_up", special_tokens="released", gate_second_temporal=True)
"""What the released code masks, beyond its first-come pooling and its words for all subjects."""

STRONG = Steering(until=0.9, kinds=("cross", "temporal"), contrast=True, bound_until=0.5)
"""What is left of some twenty switches that were measured on the embedded model (docs/reference/shapes.md),
without a further pass of the denoiser."""

PRESETS: dict[Method, Steering] = {"peekaboo": PEEKABOO, "strong": STRONG}
"""What the method of a job means, where the family of the model does not say otherwise."""


def preset(method: Method, family: Family) -> Steering:
    """What the method of a job means for a family of models."""
    return replace(PRESETS[method], **family.presets.get(method, {}))
