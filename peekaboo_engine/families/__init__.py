# SPDX-License-Identifier: GPL-3.0-or-later
"""The families of models that can be steered, each in a file of its own.

Adding one is a file here, its name in ``FAMILIES``, and a tiny model in ``tests/engine/tiny``, over which the
contract test (``tests/engine/test_families.py``) runs.
"""

from ..errors import EngineError
from .animatediff import ANIMATEDIFF
from .family import Cells, Codec, Configs, Family, Grid, Layers, Layout, Text, Trial
from .hunyuan15 import HUNYUAN15
from .ltx import LTX, LTX2
from .stable_diffusion import STABLE_DIFFUSION
from .unet3d import UNET3D
from .wan import WAN

__all__ = [
    "FAMILIES",
    "Cells",
    "Codec",
    "Configs",
    "Family",
    "Grid",
    "Layers",
    "Layout",
    "Text",
    "Trial",
    "family_of",
]

FAMILIES: tuple[Family, ...] = (UNET3D, WAN, STABLE_DIFFUSION, ANIMATEDIFF, LTX, LTX2, HUNYUAN15)


def family_of(*pipeline_classes: str) -> Family:
    """The family of a pipeline.

    Args:
        pipeline_classes: the name of its class, and of those that it is derived from.

    Raises:
        EngineError: ``unsupported_pipeline``.
    """
    for family in FAMILIES:
        if set(pipeline_classes) & set(family.pipelines):
            return family
    known = ", ".join(name for family in FAMILIES for name in family.pipelines)
    raise EngineError(
        "unsupported_pipeline",
        f"Masks are not known for {pipeline_classes[0]}; take a model of one of the classes {known}.",
    )
