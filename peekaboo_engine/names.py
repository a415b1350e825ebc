# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that jobs, settings and model families share; imported where torch must not be."""

from typing import Literal

Method = Literal["peekaboo", "strong"]
"""How masks act: a preset of :mod:`peekaboo_engine.control.settings`."""

Kind = Literal["spatial", "temporal", "cross", "full", "joint"]
"""What an attention layer attends over: the pixels of a frame, the frames of a pixel, the tokens of the text,
all pixels of all frames at once, or those and the text in one row, where the text attends as well."""

Blocks = Literal["all", "mid_up"]
"""Which blocks are masked: ``all`` (the paper names no exception), or ``mid_up`` as in the released code,
which sets the masks of ``transformer_in`` and the down blocks to None
(src/models/unet_3d_condition.py:569-601 of microsoft/Peekaboo)."""

Taken = Literal["none", "taken", "needed"]
"""Whether a model starts from a picture, or ends with one: never, where there is one, or always."""

SpecialTokens = Literal["background", "released", "shared"]
"""Who sees the start, end and padding tokens.

``background``: only the background. The paper splits tokens into foreground and the rest and says nothing of
special ones: read literally, they belong to the rest.
``released``: as the released code has it: nobody sees the start token, the background sees end and padding.
``shared``: everybody sees them (Direct-a-Video, arXiv 2402.03162, found that hiding them costs quality).
"""

SHARED = -1
"""Label of a token that every pixel sees."""
NOBODY = -2
"""Label of a token that no pixel sees."""
PADDING = -3
"""Label of a token that the model itself hides."""

Expert = Literal["both", "high", "low"]
"""Which denoiser is meant, of a model that has one for high noise levels and one for low."""
