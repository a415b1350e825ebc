# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random CLIP of the real class, pictures and text."""

from pathlib import Path

import torch
from tiny.unet3d import tokenizer
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

SIZE = 32


def save(folder: Path, seed: int = 0) -> Path:
    """Write one as transformers saves it."""
    torch.manual_seed(seed)
    tokens = tokenizer()
    shape = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    special = {"bos_token_id": tokens.bos_token_id, "eos_token_id": tokens.eos_token_id}
    text = {**shape, **special, "vocab_size": len(tokens), "pad_token_id": tokens.pad_token_id}
    pictures = {**shape, "image_size": SIZE, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=pictures, projection_dim=16)).save_pretrained(folder)
    size = {"height": SIZE, "width": SIZE}
    CLIPProcessor(CLIPImageProcessor(size=size, crop_size=size), tokens).save_pretrained(folder)
    return folder
