# SPDX-License-Identifier: GPL-3.0-or-later
"""Zero-shot detectors of transformers: OWL-ViT, which the paper measured with, OWLv2 and Grounding DINO."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import is_offline_mode
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor, PreTrainedModel, ProcessorMixin

from ..errors import EngineError, one_line
from .metrics import Box

#: Name -> repository. The first is the one that the released evaluation takes (eval/create_bbox.py).
SOURCES = {
    "owlvit": "google/owlvit-large-patch14",
    "owlv2": "google/owlv2-large-patch14-ensemble",
    "grounding-dino": "IDEA-Research/grounding-dino-base",
}
#: Least score of a detection, by kind of model. OWL: the default of transformers' zero-shot pipeline, which
#: the released evaluation leaves as it is. Grounding DINO: that of transformers' post-processing.
_THRESHOLDS = {"owlvit": 0.1, "owlv2": 0.1, "grounding-dino": 0.25}
_FRAMES_AT_ONCE = 8


@dataclass(frozen=True)
class ZeroShotDetector:
    """Takes the box of the highest score for the subject's words, if it is above the threshold.

    Args:
        name: what it was asked for by.
        model, processor: of one of the kinds in SOURCES.
        threshold: least score.
    """

    name: str
    model: PreTrainedModel
    processor: ProcessorMixin
    threshold: float

    @classmethod
    def load(cls, name: str, device: str) -> ZeroShotDetector:
        """Load one by its name in SOURCES, or from a folder or another repository of such a model.

        Raises:
            EngineError: ``detector_not_loaded``.
        """
        source = SOURCES.get(name, name)
        local = Path(source).is_dir() or is_offline_mode()
        try:
            # Where it is not told False, transformers asks on the terminal whether to run code of the folder.
            processor = AutoProcessor.from_pretrained(source, local_files_only=local, trust_remote_code=False)
            model = AutoModelForZeroShotObjectDetection.from_pretrained(
                source, local_files_only=local, trust_remote_code=False
            )
            threshold = _THRESHOLDS[model.config.model_type]
        except KeyError:
            raise EngineError(
                "detector_not_loaded",
                f"{source} is a {model.config.model_type}; take one of {', '.join(_THRESHOLDS)}.",
            ) from None
        except Exception as error:  # transformers, safetensors, the hub and httpx each have their own
            raise EngineError("detector_not_loaded", _what_to_do(source, error)) from error
        return cls(name, model.to(device).eval(), processor, threshold)

    def identity(self) -> dict[str, object]:
        """See :class:`.detection.Detector`."""
        return {"name": self.name, "kind": self.model.config.model_type, "threshold": self.threshold}

    def check(self, phrase: str) -> None:
        """Accept any words."""

    def find(self, frames: np.ndarray, phrase: str) -> list[Box | None]:
        """See :class:`.detection.Detector`."""
        found: list[Box | None] = []
        for start in range(0, len(frames), _FRAMES_AT_ONCE):
            found += self._find(frames[start : start + _FRAMES_AT_ONCE], phrase)
        return found

    @torch.no_grad()
    def _find(self, frames: np.ndarray, phrase: str) -> list[Box | None]:
        count, height, width = frames.shape[:3]
        inputs = self.processor(
            images=list(frames), text=[self._query(phrase)] * count, return_tensors="pt", padding=True
        ).to(self.model.device)
        outputs = self.model(**inputs)
        sizes = [(height, width)] * count
        if self.model.config.model_type == "grounding-dino":
            results = self.processor.post_process_grounded_object_detection(
                outputs, inputs["input_ids"], threshold=self.threshold, text_threshold=0.0, target_sizes=sizes
            )
        else:
            results = self.processor.post_process_grounded_object_detection(
                outputs, threshold=self.threshold, target_sizes=sizes
            )
        return [_best(result["boxes"], result["scores"], height, width) for result in results]

    def _query(self, phrase: str) -> str | list[str]:
        """The words as the model reads them: a list of queries for OWL, a sentence for Grounding DINO."""
        if self.model.config.model_type == "grounding-dino":
            return f"{phrase.lower().strip(' .')}."
        return [phrase]


def _best(boxes: torch.Tensor, scores: torch.Tensor, height: int, width: int) -> Box | None:
    """The box (pixels) of the highest score, relative to the frame and cut to it; None if nothing is left."""
    if not len(scores):
        return None
    scale = torch.tensor([width, height, width, height], device=boxes.device)
    x1, y1, x2, y2 = (boxes[scores.argmax()] / scale).clamp(0, 1).tolist()
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def _what_to_do(source: str, error: Exception) -> str:
    if is_offline_mode() and not Path(source).is_dir():
        return (
            f"The detector {source} is not on this machine and HF_HUB_OFFLINE is set; unset it once to "
            "download it, or give the folder of a copy."
        )
    return (
        f"The detector {source} could not be loaded ({one_line(error)}); check the name and the network, "
        "or give the folder of a copy."
    )
