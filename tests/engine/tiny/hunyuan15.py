# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random HunyuanVideo 1.5 pipeline of the real classes."""

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo15,
    ClassifierFreeGuidance,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15ImageToVideoPipeline,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
)
from transformers import (
    ByT5Tokenizer,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    Qwen2Tokenizer,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
)

from .unet3d import PROMPT, WORDS
from .wan import picture_of

FRAMES, HEIGHT, WIDTH = 9, 64, 96
"""Tokens of 3 x 4 x 6."""
TEXT_LENGTH, LETTERS, PICTURE = 40, 8, 4
CHANNELS = 4
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen's, without its tools."""


def tokenizer() -> Qwen2Tokenizer:
    """Qwen's tokenizer: WORDS and spaces are one token each, others one a letter."""
    letters = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]
    pieces, merges = list(letters), []
    for word in WORDS:
        parts = list(word)
        while len(parts) > 1:
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
            if parts[0] not in pieces:
                pieces.append(parts[0])
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = Qwen2Tokenizer(
        vocab={piece: number for number, piece in enumerate([*pieces, *special])},
        merges=merges,
        unk_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        extra_special_tokens=special[1:],
        padding_side="right",
    )
    tokens.chat_template = TEMPLATE
    return tokens


def pipeline(seed: int = 0) -> HunyuanVideo15Pipeline:
    """Random weights from a seed."""
    torch.manual_seed(seed)
    tokens, letters = tokenizer(), ByT5Tokenizer()
    text_encoder = Qwen2_5_VLTextModel(
        Qwen2_5_VLTextConfig(
            vocab_size=len(tokens),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=2,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]},
            pad_token_id=tokens.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokens.eos_token_id,
        )
    )
    text_encoder_2 = T5EncoderModel(
        T5Config(
            vocab_size=len(letters), d_model=8, d_ff=16, d_kv=4, num_heads=2, num_layers=1, dropout_rate=0.0
        )
    )
    transformer = HunyuanVideo15Transformer3DModel(
        in_channels=2 * CHANNELS + 1,
        out_channels=CHANNELS,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        num_refiner_layers=1,
        text_embed_dim=16,
        text_embed_2_dim=8,
        image_embed_dim=12,
        target_size=78,  # of a picture of three to two, 96 x 64
        rope_axes_dim=(2, 2, 4),
    )
    vae = AutoencoderKLHunyuanVideo15(
        latent_channels=CHANNELS, block_out_channels=(16, 16, 16, 16, 16), layers_per_block=1
    )
    pipe = HunyuanVideo15Pipeline(
        text_encoder=text_encoder.eval(),
        tokenizer=tokens,
        transformer=transformer.eval(),
        vae=vae.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
        text_encoder_2=text_encoder_2.eval(),
        tokenizer_2=letters,
        guider=ClassifierFreeGuidance(guidance_scale=5.0),
    )
    shorten(pipe)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def started(seed: int = 0) -> HunyuanVideo15ImageToVideoPipeline:
    """One that starts from a picture, which it also sees by SigLIP."""
    parts = pipeline(seed).components
    eye = SiglipVisionConfig(
        hidden_size=12,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    pipe = HunyuanVideo15ImageToVideoPipeline(
        **parts,
        image_encoder=SiglipVisionModel(eye).eval(),
        feature_extractor=SiglipImageProcessor(size={"height": 28, "width": 28}),
    )
    shorten(pipe)
    pipe.set_progress_bar_config(disable=True)
    return pipe


VARIANTS = {"": pipeline, "from a picture": started}
"""Pipelines of the family that are called otherwise."""


def shorten(pipe: HunyuanVideo15Pipeline) -> None:
    """Lengths that suit it, which the class states and no file does."""
    pipe.system_message = "paint a red ball"
    around = pipe.tokenizer.apply_chat_template(
        [{"role": "system", "content": pipe.system_message}, {"role": "user", "content": ""}], tokenize=False
    ).removesuffix("<|im_end|>\n")
    pipe.prompt_template_encode_start_idx = len(pipe.tokenizer(around)["input_ids"])
    pipe.tokenizer_max_length, pipe.tokenizer_2_max_length = TEXT_LENGTH, LETTERS
    pipe.vision_num_semantic_tokens = PICTURE


def latents(pipe: HunyuanVideo15Pipeline, prompt: str = PROMPT, steps: int = 3, **options) -> torch.Tensor:
    """The latents of a short run from a fixed seed: (1, channels, latent frames, h, w)."""
    settings = {"num_frames": FRAMES, "height": HEIGHT, "width": WIDTH}
    if isinstance(pipe, HunyuanVideo15ImageToVideoPipeline):
        settings = {"num_frames": FRAMES, "image": picture_of(WIDTH, HEIGHT)}
    return pipe(
        prompt=prompt,
        num_inference_steps=steps,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
        **settings | options,
    ).frames


def texts(pipe: HunyuanVideo15Pipeline, prompt: str = PROMPT) -> tuple[dict, dict]:
    """What the halves of guidance read, the prompt first, as keywords of the denoiser."""
    names = (
        "encoder_hidden_states",
        "encoder_attention_mask",
        "encoder_hidden_states_2",
        "encoder_attention_mask_2",
    )
    return tuple(dict(zip(names, pipe.encode_prompt(text), strict=True)) for text in (prompt, None))


def noise(batch: int = 1) -> torch.Tensor:
    """What the denoiser starts from."""
    return torch.randn(batch, 2 * CHANNELS + 1, 3, 4, 6, generator=torch.Generator().manual_seed(1))


def denoise(pipe: HunyuanVideo15Pipeline, sample: torch.Tensor, timestep, text: dict) -> torch.Tensor:
    """One call of the denoiser."""
    at = torch.as_tensor(timestep).expand(len(sample))
    given = isinstance(pipe, HunyuanVideo15ImageToVideoPipeline)
    picture = torch.full((len(sample), PICTURE, 12), float(given))
    return pipe.transformer(hidden_states=sample, timestep=at, image_embeds=picture, **text).sample
