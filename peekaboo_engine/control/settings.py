# SPDX-License-Identifier: GPL-3.0-or-later
"""How masks act: every switch of the method, each off unless set, and the presets made of them.

Two scales are used throughout. A **noise level** is the share of noise in what the denoiser sees,
noise_std / (signal_coefficient + noise_std): 1 is pure noise, 0 the clean clip (:mod:`.levels`). A
**share** is a factor on attention weights before they are normalised: 0 hides a key exactly, 1 leaves it, and
exp(-b) is a bias of -b on its logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import EngineError
from .sites import Blocks, Kind
from .spans import SpecialTokens

SubjectText = Literal["prompt", "phrase", "words"]
"""Where a subject's own words are read: in the ``prompt``, as in Peekaboo, or in its ``phrase``, encoded by
itself with its own start, end and padding tokens, so that nothing of the other words comes with it; ``words``
is the phrase by itself without those tokens."""

BackgroundText = Literal["prompt", "ground"]
"""What the background reads: the ``prompt`` but for the subjects' words, as in Peekaboo, or the ``ground``:
the prompt without the phrases, encoded by itself. End and padding tokens of the prompt tell of the subjects,
those of the ground do not. In frames in which not every subject is held it reads the prompt."""


@dataclass(frozen=True)
class Steering:
    """Switches of :func:`.peekaboo`. The default is Peekaboo as we build it (docs/method.md).

    Args:
        masked_steps: first denoising steps that are masked; the paper takes 2 of 40, 4 for its IMC benchmark.
        cross_until, spatial_until, temporal_until: noise level at which the masks of this kind of attention
            end, instead of a number of steps; 0 is never, 1 at once. The same level is the same moment with
            any number of steps and any scheduler.
        blocks: ``all``, or ``mid_up`` as in the released code.
        kinds: which kinds of attention are masked; for ablations such as the paper's table 3.
        special_tokens: who sees start, end and padding tokens, see :data:`.spans.SpecialTokens`.
        gate_second_temporal: do with the second temporal attention of a block what the released code does and
            the paper does not mention: h + M * Attn2(LN(M * h)) with M = 1 on foreground, unmasked inside
            (src/models/attention.py:313-325,394). Otherwise it is masked like the first.
        words_outside: once the masks of cross-attention have ended, the share that is left of a subject's
            words to pixels outside it, while its own pixels read the whole prompt. 1 is free. Direct-a-Video
            (arXiv 2402.03162) suppresses mismatched pairs through the whole sampling.
        words_until: noise level at which that ends.
        amplify: bias added to the logits of a subject's words for its own pixels, times 1 - the share of the
            frame that it covers (as Direct-a-Video), going down to 0 with the noise level. Has no effect on
            pixels that see nothing but these words, as they do while the masks of cross-attention last.
        amplify_until: noise level at which that has gone down to 0.
        conditional_only: kinds of attention that are steered in the conditional half of classifier-free
            guidance only, so that guidance pushes towards what the masks say. Otherwise in both halves, as in
            the released code.
        leak: the share that is left of what the masks hide in spatial and temporal attention, going up to 1
            at the end of their window: soft masks (DreamVideo-2 blends its masks, FreeTraj, arXiv 2406.16863,
            scales logits by 0.01).
        soft_edges: a cell at a subject's edge sees both sides by the area that each covers of it, instead of
            belonging to the one that covers more.
        centred: how fast a cell belongs less to its subject and more to the background, as far as text is
            concerned, from the centre of the subject's box outwards: by exp(-centred) at its sides and
            exp(-2 centred) in its corners (TrailBlazer, arXiv 2401.00896, and FreeTraj weigh words by a
            Gaussian in the box). So one subject fills the box and not several.
        subject_text, background_text: see :data:`SubjectText` and :data:`BackgroundText` (DiTraj, arXiv
            2509.21839, has one prompt for the foreground and one for the background).
        contrast: the share with which the unconditional half reads besides what does not belong to a pixel:
            the background the subjects' phrases, a subject's pixels the ground. Guidance then pushes each
            away from the other.
        contrast_until: noise level at which that ends.
        follow_path: along time, a subject's pixels see the subject at the same place relative to its box, not
            the same pixel of the frame (Motion-Zero, arXiv 2401.10150, shifts frames for that). Without
            ``leak`` and ``soft_edges`` there.
        follow_noise: the lowest frequencies of the first noise that are carried along each subject's path, as
            a share of the highest (FreeTraj takes a quarter); 0 leaves the noise alone.

    Raises:
        EngineError: ``bad_option``.
    """

    masked_steps: int = 2
    cross_until: float | None = None
    spatial_until: float | None = None
    temporal_until: float | None = None
    blocks: Blocks = "all"
    kinds: tuple[Kind, ...] = get_args(Kind)
    special_tokens: SpecialTokens = "background"
    gate_second_temporal: bool = False
    words_outside: float = 1.0
    words_until: float = 0.0
    amplify: float = 0.0
    amplify_until: float = 0.0
    conditional_only: tuple[Kind, ...] = ()
    leak: float = 0.0
    soft_edges: bool = False
    centred: float = 0.0
    subject_text: SubjectText = "prompt"
    background_text: BackgroundText = "prompt"
    contrast: float = 0.0
    contrast_until: float = 0.0
    follow_path: bool = False
    follow_noise: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))
        object.__setattr__(self, "conditional_only", tuple(self.conditional_only))
        check_option("masked_steps", self.masked_steps, self.masked_steps >= 0, "0 or more")
        for name in ("amplify", "centred"):
            check_option(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        for name, choices in (
            ("blocks", get_args(Blocks)),
            ("special_tokens", get_args(SpecialTokens)),
            ("subject_text", get_args(SubjectText)),
            ("background_text", get_args(BackgroundText)),
        ):
            check_option(name, getattr(self, name), getattr(self, name) in choices, choices)
        for name in ("kinds", "conditional_only"):
            value = getattr(self, name)
            check_option(name, list(value), set(value) <= set(get_args(Kind)), f"some of {get_args(Kind)}")
        for name in _SHARES:
            value = getattr(self, name)
            check_option(name, value, value is None or 0 <= value <= 1, "a number from 0 to 1")
        for name, default in (("subject_text", "prompt"), ("background_text", "prompt"), ("contrast", 0)):
            value = getattr(self, name)
            everywhere = self.blocks == "all" and "cross" in self.kinds
            check_option(
                name,
                value,
                value == default or everywhere,
                f'"{default}" where not all layers of cross-attention are steered',
            )

    @property
    def reads_ground(self) -> bool:
        """Whether anyone reads the prompt without the phrases."""
        return self.background_text == "ground" or self.contrast > 0

    @property
    def reads_phrases(self) -> bool:
        """Whether anyone reads a phrase by itself."""
        return self.subject_text != "prompt" or self.contrast > 0

    def until(self, kind: Kind) -> float | None:
        """Noise level at which the masks of a kind of attention end; None where steps are counted."""
        return {"cross": self.cross_until, "spatial": self.spatial_until, "temporal": self.temporal_until}[
            kind
        ]


_SHARES = (
    "cross_until",
    "spatial_until",
    "temporal_until",
    "words_outside",
    "words_until",
    "amplify_until",
    "leak",
    "contrast",
    "contrast_until",
    "follow_noise",
)


def check_option(name: str, value, allowed: bool, choices) -> None:
    """Refuse a value that is not allowed.

    Raises:
        EngineError: ``bad_option``.
    """
    if not allowed:
        raise EngineError("bad_option", f'{name} is "{value}"; give {choices}.')


PEEKABOO = Steering()
"""The paper's masks, read as in docs/method.md."""

RELEASED = Steering(blocks="mid_up", special_tokens="released", gate_second_temporal=True)
"""What the released code masks, beyond its first-come pooling and its words for all subjects."""

STRONG = Steering(
    cross_until=0.9,
    temporal_until=0.9,
    kinds=("cross", "temporal"),
    words_outside=0.0,
    words_until=0.5,
    contrast=1.0,
    contrast_until=0.9,
)
"""What the tables left of the switches (docs/shapes.md), without further passes of the denoiser."""

PRESETS = {"peekaboo": PEEKABOO, "strong": STRONG}
"""What the method of a job means."""
