# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny random zero-shot detectors of the real classes, saved to a folder: nothing is fetched."""

from pathlib import Path

import torch
from transformers import (
    BertTokenizer,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    OwlViTProcessor,
    SwinConfig,
)

IMAGE, PATCH, WORDS = 32, 8, 16
_TOWER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def _owl_tokenizer() -> CLIPTokenizer:
    """Letters. "!" is number 0 and the padding, as in OWL's own: a query that begins with it is none."""
    letters = [chr(code) for code in range(97, 123)]
    pieces = ["!", "<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    return CLIPTokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)},
        merges=[],
        pad_token="!",
        model_max_length=WORDS,
    )


def _owl_configuration(kind, tokens):
    text = {**_TOWER, "vocab_size": len(tokens), "max_position_embeddings": WORDS}
    text |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    vision = {**_TOWER, "image_size": IMAGE, "patch_size": PATCH}
    return kind(text_config=text, vision_config=vision, projection_dim=16)


def save_owl(folder: Path, version: int) -> Path:
    """OWL-ViT (version 1) or OWLv2 (version 2)."""
    torch.manual_seed(version)
    tokens = _owl_tokenizer()
    size = {"height": IMAGE, "width": IMAGE}
    if version == 1:
        processor = OwlViTProcessor(OwlViTImageProcessor(size=size, crop_size=size), tokens)
        model = OwlViTForObjectDetection(_owl_configuration(OwlViTConfig, tokens))
    else:
        processor = Owlv2Processor(Owlv2ImageProcessor(size=size), tokens)
        model = Owlv2ForObjectDetection(_owl_configuration(Owlv2Config, tokens))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_grounding_dino(folder: Path) -> Path:
    """Grounding DINO with a Swin backbone of two stages and a BERT of one layer."""
    torch.manual_seed(3)
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "a", "red", "blue", "ball", "cube"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokens = BertTokenizer(str(folder / "vocab.txt"))
    text = {**_TOWER, "model_type": "bert", "vocab_size": len(words), "max_position_embeddings": 32}
    backbone = SwinConfig(
        image_size=IMAGE, window_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 1], out_indices=[1, 2]
    )
    config = GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        num_queries=8,
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        num_feature_levels=2,
        max_text_len=16,
        disable_custom_kernels=True,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    images = GroundingDinoImageProcessor(size={"shortest_edge": IMAGE, "longest_edge": 64})
    GroundingDinoProcessor(images, tokens).save_pretrained(folder)
    return folder
