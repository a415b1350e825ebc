# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoisers whose weights take few bits: GGUF files, and NF4 on a GPU; both by diffusers' own means.

GGUF files are read by the package ``gguf``, which believes what a file says of its own lengths: a list of
2**63 numbers in a file of a hundred bytes fills the memory. So a file is walked through here before it is
read (ggml-org/ggml, its page on GGUF). Layers compute in the model's precision with weights that are spread
out for each use; attention sees ordinary numbers, and masks act as they always do.
"""

from __future__ import annotations

import importlib.util
import math
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import EngineError, shown
from .limits import MAX_TENSORS, MAX_TENSORS_HEADER
from .places import open_file

if TYPE_CHECKING:
    import torch

GGUF = ".gguf"
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of each kind of number that a file's facts may have."""
_STRING, _ARRAY = 8, 9
_MOST_SIZES = 6
"""Of one weight: those of a convolution over frames and pixels are five."""


def gguf_of(folder: Path, part: str) -> Path | None:
    """The GGUF file that a component of a model's folder is, if it is one.

    Raises:
        EngineError: ``bad_model`` where other weights lie beside it.
    """
    files = sorted((folder / part).glob(f"*{GGUF}"))
    if not files:
        return None
    weights = files + sorted((folder / part).glob("*.safetensors"))
    if len(weights) > 1:
        named = ", ".join(shown(file.name) for file in weights)
        raise EngineError(
            "bad_model",
            f"{folder / part} holds several files of weights ({named}), and which of them is meant is not "
            "known; move all but one away.",
        )
    return files[0]


def count_numbers(file: Path) -> int:
    """How many numbers the weights of a GGUF file are, from its header, which is held against its length.

    Raises:
        ValueError: it is no whole GGUF file.
        OSError: it cannot be read.
    """
    with open_file(file, follow=True) as stream:
        size = os.fstat(stream.fileno()).st_size
        walk = _Walk(stream.read(MAX_TENSORS_HEADER))
    if walk.take(4) != b"GGUF" or walk.number("I") not in (2, 3):
        raise ValueError("it is no GGUF file of version 2 or 3")
    tensors, facts = walk.number("Q"), walk.number("Q")
    if max(tensors, facts) > MAX_TENSORS:
        raise ValueError(f"it states {max(tensors, facts)} entries")
    for _ in range(facts):
        walk.string()
        walk.value()
    total = 0
    for _ in range(tensors):
        walk.string()
        sizes = walk.number("I")
        if not 0 < sizes <= _MOST_SIZES:
            raise ValueError(f"a weight of it has {sizes} sizes")
        numbers = math.prod(walk.number("Q") for _ in range(sizes))
        walk.number("I")
        start = walk.number("Q")
        if not numbers or start > size or numbers > 4 * size:  # each takes two bits at least
            raise ValueError("a weight of it is larger than the file")
        total += numbers
    return total


class _Walk:
    """Goes through the header of a GGUF file; raises ValueError where it ends too early."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > len(self._data) - self._at:
            raise ValueError("it ends within its header")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, kind: str) -> int:
        """The next number, of a kind as ``struct`` calls it."""
        return struct.unpack(f"<{kind}", self.take(struct.calcsize(kind)))[0]

    def string(self) -> None:
        """Pass over a text."""
        self.take(self.number("Q"))

    def value(self) -> None:
        """Pass over a fact: a number, a text, or a list of either."""
        kind, count = self.number("I"), 1
        if kind == _ARRAY:
            kind, count = self.number("I"), self.number("Q")
        if kind == _STRING:
            for _ in range(min(count, len(self._data))):  # each takes some bytes, of which there are no more
                self.string()
        elif kind in _SIZES:
            self.take(_SIZES[kind] * count)
        else:
            raise ValueError(f"it holds a fact of the kind {kind}")


def network_class(stated: Sequence[str]) -> Any:
    """The class of a network that a model's folder states for a component, and that single files are read by.

    Args:
        stated: library and name.

    Raises:
        ValueError: it is none of diffusers'.
    """
    import diffusers

    library, name = stated
    found = getattr(diffusers, name, None) if library == "diffusers" else None
    is_network = isinstance(found, type) and issubclass(found, diffusers.ModelMixin)
    if not is_network or not hasattr(found, "from_single_file"):
        raise ValueError(f"diffusers reads no {name} from one file")
    return found


def read_gguf(file: Path, network: Any, folder: Path, part: str, dtype: torch.dtype) -> Any:
    """Load a denoiser from a GGUF file.

    Args:
        file: with the weights, under the names of its makers, as ComfyUI takes it.
        network: its class, as :func:`network_class` has it.
        folder: of a model whose denoiser has the same configuration.
        part: which of its components that is.
        dtype: that it computes in.

    Raises:
        EngineError: ``no_gguf``.
        ValueError: as :func:`count_numbers`, or for weights that only other programs read; diffusers and gguf
            raise their own.
    """
    require("gguf", "no_gguf", "GGUF files need")
    count_numbers(file)
    import torch
    from diffusers import GGUFQuantizationConfig

    loaded = network.from_single_file(
        str(file.absolute()),
        config=str(folder),
        subfolder=part,
        quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
        dtype=dtype,
        local_files_only=True,
        trust_remote_code=False,
    )
    for path, layer in loaded.named_modules():  # only a linear layer of diffusers' spreads weights out
        held = [] if isinstance(layer, torch.nn.Linear) else layer.named_parameters(path, recurse=False)
        for name, weights in held:
            if hasattr(weights, "quant_type"):
                raise ValueError(f"{name} is quantised, which diffusers cannot compute with")
    return loaded


def held_numbers(network: Any) -> int:
    """How many numbers the weights of a network stand for, quantised or not."""
    state = network.state_dict().values()
    return sum(math.prod(getattr(weights, "quant_shape", weights.shape)) for weights in state)


def as_nf4(parts: Sequence[str], dtype: torch.dtype, device: torch.device) -> Any:
    """What has a pipeline's components loaded with weights of four bits (NF4, arXiv 2305.14314).

    Args:
        parts: the components, by their names in the pipeline.
        dtype: that they compute in.
        device: that they are for.

    Raises:
        EngineError: ``no_bitsandbytes``; ``bad_option`` for a device on which diffusers makes none.
    """
    if device.type not in ("cuda", "xpu"):
        raise EngineError(
            "bad_option",
            f'NF4 needs a GPU, and the device is "{device.type}"; leave nf4 out, or take a GGUF file.',
        )
    require("bitsandbytes", "no_bitsandbytes", "NF4 needs")
    from diffusers import PipelineQuantizationConfig

    return PipelineQuantizationConfig(
        quant_backend="bitsandbytes_4bit",
        quant_kwargs={"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype},
        components_to_quantize=list(parts),
    )


def is_quantised(network: Any) -> bool:
    """Whether a network's weights are quantised, so that they cannot be cast to another precision."""
    return getattr(network, "hf_quantizer", None) is not None


def require(package: str, code: str, what: str) -> None:
    """Refuse what needs a package that is not here, with the command that installs it."""
    if importlib.util.find_spec(package) is None:
        raise EngineError(
            code,
            f"{what} the Python package {package}; install it: {sys.executable} -m pip install {package}.",
        )
