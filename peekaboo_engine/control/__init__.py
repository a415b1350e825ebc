# SPDX-License-Identifier: GPL-3.0-or-later
"""The method: attention of a video diffusion model, masked by an animated label map (arXiv 2312.07509).

``labels`` (what each pixel belongs to) and ``spans`` (what each word belongs to) say who may see whom;
``sites`` finds the attention layers of a denoiser, ``attention`` computes them under that rule, and
``interception`` puts the rule onto them. ``rules`` makes it for each moment of the sampling out of
``settings``, ``words``, ``windows`` and noise ``levels``; ``guidance`` does it for a pipeline, and
``prompts`` for each prompt of that.
"""

from .guidance import peekaboo
from .settings import PEEKABOO, PRESETS, RELEASED, STRONG, Steering

__all__ = ["PEEKABOO", "PRESETS", "RELEASED", "STRONG", "Steering", "peekaboo"]
