# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of one run of a pipeline: the text that it reads, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ..errors import EngineError
from .rules import Halves, Rules
from .steps import Steps
from .windows import Moment, Window


@dataclass(frozen=True, eq=False)
class Reading:
    """A prompt as the pipeline encoded it.

    Args:
        rules: who reads which of its tokens.
        contexts: the ground and the phrases by themselves, (tokens, channels); None without contrast.
        prompt, negative: (1, tokens, channels), what each half of guidance reads; ``negative`` is None where
            there is no guidance.
    """

    rules: Rules
    contexts: torch.Tensor | None
    prompt: torch.Tensor
    negative: torch.Tensor | None


class Run:
    """How far the sampling has come.

    Args:
        reading: the prompt.
        scheduler: set to the timesteps of this run.
        timestep: of the first call of the denoiser.

    Attributes:
        reading: the prompt.
        turn: place of the current call among the timesteps.
    """

    def __init__(self, reading: Reading, scheduler, timestep: float):
        self.reading = reading
        self._steps = Steps(scheduler)
        self._first = self.turn = self._steps.turn(timestep, likely=0)
        self._timestep = timestep
        self._calls = 0
        self._known: list[tuple[torch.Tensor, Halves]] = []

    def is_over(self, timestep: float, turns_done: int) -> bool:
        """Whether a call of the denoiser, after so many calls of the scheduler, begins another run.

        Timesteps get smaller, but for a few of ``KDPM2AncestralDiscreteScheduler`` near the end.
        """
        return timestep > self._timestep and not self._steps.is_at(self._first + turns_done, timestep)

    def move_to(self, timestep: float, turns_done: int) -> None:
        """Note another call of the denoiser, after so many calls of the scheduler."""
        self._timestep = timestep
        turn = self._steps.turn(timestep, likely=self._first + turns_done)
        self._calls = self._calls + 1 if turn == self.turn else 1
        self.turn = turn

    @property
    def now(self) -> Moment:
        """Where the sampling is."""
        return self._moment(self.turn)

    def turns_within(self, window: Window) -> list[int]:
        """The turns of this run that lie within a window."""
        turns = range(self._first, len(self._steps))
        return [turn for turn in turns if window.left(self._moment(turn)) > 0]

    def _moment(self, turn: int) -> Moment:
        first = self._first
        step = self._steps.step(turn) - self._steps.step(first)
        return Moment(step, self._steps.level(turn), self._steps.level(first))

    def halves(
        self, text: torch.Tensor, run_as: Literal["one batch", "two calls"], repeats: int = 1
    ) -> Halves:
        """Which halves of guidance a call holds.

        Args:
            text: that it reads, (batch, tokens, channels).
            run_as: how the pipeline runs them.
            repeats: how often a text stands in it, such as once for each frame.

        Raises:
            EngineError: ``unknown_half`` for one of two calls that reads neither the prompt nor its opposite;
                ``one_prompt`` for a batch of several clips.
        """
        if run_as == "one batch":
            guided = self.reading.negative is not None
            if len(text) not in ({repeats, 2 * repeats} if guided else {repeats}):
                raise EngineError(
                    "one_prompt",
                    "The halves of guidance cannot be told apart in a batch of several clips; make one clip "
                    "a call of the pipeline.",
                )
            return (False, True) if len(text) == 2 * repeats else (True,)
        for known, halves in self._known:  # mostly the pipeline gives the same two tensors at every step
            if text is known:
                return halves
        is_prompt, is_negative = (
            each is not None and torch.equal(each.to(text).expand_as(text), text)
            for each in (self.reading.prompt, self.reading.negative)
        )
        if is_prompt and is_negative:  # the same words in both: the prompt's is the first call
            return (self._calls <= 1,)
        if not is_prompt and not is_negative:
            raise EngineError(
                "unknown_half",
                "The denoiser is given another text than the pipeline encoded, so the two calls of guidance "
                "cannot be told apart; leave the embeddings as they are, or turn off contrast.",
            )
        self._known = [*self._known[-1:], (text, (is_prompt,))]
        return (is_prompt,)
