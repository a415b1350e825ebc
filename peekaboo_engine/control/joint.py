# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule of joint attention, in which tokens of the clip and of the text lie in one row and all attend.

======================  =================================  ==========================================
queries                 keys of the clip                   keys of the text
======================  =================================  ==========================================
the clip, of a subject  the same subject in every frame    as in cross-attention: the subject's words
the clip, elsewhere     what is no subject's               the words of no subject
words of a subject      pixels that see these words        all that the model reads
other words             pixels that see these words        all that the model reads
======================  =================================  ==========================================

Text is left to read text, as it does in the text encoder anyway.
"""

from __future__ import annotations

import torch

from .attention import HIDDEN, Rule

FREE = -1
"""The group of what belongs to none."""


def joint_rule(
    labels: torch.Tensor, text: torch.Tensor, scores: torch.Tensor, masked: torch.Tensor, others: float
) -> Rule:
    """The rule of a row of all tokens of the clip, and behind them the text.

    Args:
        labels: int64 (frames, rows, columns), of the tokens of the clip.
        text: int64 (tokens,), the class of each token of the text, and one more for those that the model
            does not read, which see and are seen by each other alone.
        scores: float (frames, labels, classes), what is added to the score of a class for a label, and of the
            label for the class. A label behind those of the subjects belongs to no group.
        masked: bool (subjects, frames), whose pixels see each other only.
        others: what is added to the score of pixels of another label.

    Returns:
        A rule that stands for the mask that the model itself has for its text, too.
    """
    frames, names, classes = scores.shape
    subjects = torch.arange(1, len(masked) + 1)[:, None]
    free = torch.full((names - 1 - len(masked), frames), FREE)
    own = torch.cat([torch.zeros(1, frames), torch.where(masked, subjects, 0), free]).T  # (frames, labels)
    # A label of its own for each way that frames read.
    ways, way = torch.cat([scores.flatten(1), own], dim=1).unique(dim=0, return_inverse=True)
    to_text, own = ways[:, : names * classes].reshape(-1, classes), ways[:, names * classes :].flatten()
    clip = len(own)
    table = torch.full((clip + classes + 1, clip + classes + 1), HIDDEN)
    seen = (own[:, None] == own[None]) | (own[:, None] == FREE) | (own[None] == FREE)
    table[:clip, :clip] = torch.where(seen, 0.0, others)
    table[:clip, clip:-1], table[clip:-1, :clip] = to_text, to_text.T
    table[clip:-1, clip:-1] = 0
    table[-1, -1] = 0
    row = torch.cat([(labels + names * way[:, None, None]).flatten(), clip + text])[None]
    return Rule(row, row, table[None], whole=True)
