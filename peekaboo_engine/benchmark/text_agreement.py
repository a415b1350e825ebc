# SPDX-License-Identifier: GPL-3.0-or-later
"""How well clips agree with their prompts: CLIP's similarity of pictures and text (arXiv 2103.00020).

The measure of text-to-video models since GODIVA (arXiv 2104.14806, section 4.2): the cosine between what CLIP
makes of the prompt and of a frame, a hundredfold, and the mean of that over all frames of a clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoProcessor, CLIPModel, ProcessorMixin

from ..errors import EngineError, one_line
from ..weights import hash_weights

_FRAMES_AT_ONCE = 16


@dataclass(frozen=True)
class TextAgreement:
    """A CLIP by which clips are held against their prompts.

    Args:
        model, processor: of transformers' class.
        digest: SHA-256 of its weights.
    """

    model: CLIPModel
    processor: ProcessorMixin
    digest: str

    @classmethod
    def load(cls, folder: Path, device: str) -> TextAgreement:
        """Load one from a folder as transformers saves it; nothing is downloaded.

        Raises:
            EngineError: ``clip_not_loaded``.
        """
        try:
            # Where it is not told False, transformers asks on the terminal whether to run code of the folder.
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model, told = CLIPModel.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, output_loading_info=True
            )
            if told["missing_keys"]:
                raise ValueError(f"it lacks {len(told['missing_keys'])} weights of a CLIP")
        except Exception as error:  # transformers and safetensors each have their own
            raise EngineError(
                "clip_not_loaded",
                f"{folder} is no CLIP that can be loaded ({one_line(error)}); give a folder such as a copy "
                "of openai/clip-vit-base-patch32.",
            ) from error
        return cls(model.to(device).eval(), processor, hash_weights(folder))

    def identity(self) -> dict[str, object]:
        """What tells it from others, as plain data."""
        return {"sha256": self.digest}

    @torch.no_grad()
    def score(self, frames: np.ndarray, prompt: str) -> float:
        """Mean agreement of frames with a text, -100 to 100.

        Args:
            frames: uint8 (frames, height, width, 3), sRGB.
            prompt: a longer one is cut to what CLIP reads, mostly 77 tokens.
        """
        text = self.processor(text=[prompt], return_tensors="pt", padding=True, truncation=True)
        said = _directions(self.model.get_text_features(**text.to(self.model.device)))
        agreement = []
        for start in range(0, len(frames), _FRAMES_AT_ONCE):
            shown = self.processor(images=list(frames[start : start + _FRAMES_AT_ONCE]), return_tensors="pt")
            seen = _directions(self.model.get_image_features(**shown.to(self.model.device)))
            agreement.append(seen @ said.T)
        return 100 * float(torch.cat(agreement).mean())


def _directions(features) -> torch.Tensor:
    """Features as unit vectors; transformers 5 wraps them in an output."""
    tensor = features if isinstance(features, torch.Tensor) else features.pooler_output
    return torch.nn.functional.normalize(tensor.float(), dim=-1)
