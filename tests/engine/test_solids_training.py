# SPDX-License-Identifier: GPL-3.0-or-later
import json

import pytest
import torch
from diffusers import WanPipeline, WanTransformer3DModel
from safetensors.torch import load_file
from shapes_training.captions import caption_text
from shapes_training.processes import join
from shapes_training.scenes import HEIGHT, WIDTH, sample_scenes
from solids_training import autoencoder_training, denoiser_training, twin_training
from solids_training.captions import (
    END,
    MAX_TOKENS,
    PAD,
    PIPELINE_TOKENS,
    CaptionEncoder,
    build_tokenizer,
    padding_bias,
)
from solids_training.denoiser_passes import DenoiserPasses
from solids_training.denoiser_training import encode_text
from solids_training.latents import GRID, LatentRing
from solids_training.networks import (
    LATENT_CHANNELS,
    NUM_FRAMES,
    TEXT_WIDTH,
    build_autoencoder,
    build_scheduler,
    build_text_encoder,
)
from solids_training.twin_training import STEPS, add_low_rank
from solids_training.whole_clips import WholeClips
from transformers import AutoTokenizer


def tiny_denoiser():
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_WIDTH,
        freq_dim=32,
        ffn_dim=64,
        num_layers=2,
        rope_max_seq_len=64,
    )


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.mark.parametrize("frames", [1, 5, NUM_FRAMES])
@pytest.mark.parametrize("stacked", [False, True])
@torch.no_grad()
def test_whole_clips_are_coded_as_the_autoencoder_codes_them_in_chunks(frames, stacked):
    torch.manual_seed(0)
    vae = build_autoencoder().eval()
    for parameter in vae.parameters():
        parameter += 0.02 * torch.randn_like(parameter)
    clips, passes = torch.randn(2, 3, frames, 32, 48), WholeClips(vae, stacked=stacked)
    moments = vae.encode(clips).latent_dist.parameters
    assert torch.allclose(passes.encode(clips), moments, atol=1e-4)
    latents = moments[:, :LATENT_CHANNELS]
    again = passes.decode(latents).clamp(-1, 1)
    assert again.shape == clips.shape
    assert torch.allclose(again, vae.decode(latents).sample, atol=1e-4)


@torch.no_grad()
def test_an_untrained_autoencoder_treats_every_frame_alike():
    vae = build_autoencoder().eval()
    still = torch.randn(1, 3, 1, 32, 48).expand(-1, -1, 5, -1, -1)
    first, second = vae.encode(still).latent_dist.mean.unbind(2)
    assert (first - second).abs().mean() < 0.3 * first.std()


def test_captions_are_encoded_as_the_pipeline_encodes_their_text(tokenizer, tmp_path):
    captions = sample_scenes(torch.Generator().manual_seed(0), 300, NUM_FRAMES).captions
    ids, _ = CaptionEncoder(tokenizer)(captions)
    tokenizer.save_pretrained(tmp_path)
    for own in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        texts = [caption_text(caption).capitalize() for caption in captions]
        wanted = own(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True)
        assert ids.tolist() == wanted["input_ids"]
    assert (ids[:, -1] == PAD).all() and (ids == END).sum(1).eq(1).all()
    assert not (ids == tokenizer.unk_token_id).any()
    assert tokenizer.tokenize("dog") == ["▁", "d", "o", "g"]


@torch.no_grad()
def test_a_local_phrase_is_encoded_as_if_it_stood_alone(tokenizer):
    encoder = build_text_encoder(len(tokenizer)).eval()
    captions = [[(1, "a red ball"), (4, "on grass")], [(4, "on snow"), (1, "a red ball")]]
    ids, marks = CaptionEncoder(tokenizer)(captions)
    for local in (True, False):
        one, other = encode_text(encoder, ids, marks, torch.tensor([local] * 2))
        assert torch.allclose(one[:3], other[2:5], atol=1e-6) is local
    plain = encoder(ids, attention_mask=(ids != PAD).long())[0] * (ids != PAD)[..., None]
    assert torch.allclose(encode_text(encoder, ids, marks, torch.tensor([False] * 2)), plain, atol=1e-6)


@pytest.mark.parametrize("length", [MAX_TOKENS, 226, PIPELINE_TOKENS])
@torch.no_grad()
def test_a_short_caption_steers_as_the_pipelines_padded_one(tokenizer, length):
    torch.manual_seed(0)
    denoiser, encoder = tiny_denoiser().eval(), build_text_encoder(len(tokenizer)).eval()
    ids, marks = CaptionEncoder(tokenizer)([[(1, "a red ball"), (4, "on grass")], [(4, "snow")]])
    context = encode_text(encoder, ids, marks, torch.tensor([False] * 2))
    noisy, timestep = torch.randn(2, LATENT_CHANNELS, 2, 8, 6), torch.tensor([500.0, 900.0])
    padded = torch.cat([context, torch.zeros(2, length - MAX_TOKENS, TEXT_WIDTH)], 1)
    wanted = denoiser(noisy, timestep, padded).sample
    bias = padding_bias(ids, torch.tensor([length] * 2))
    assert torch.allclose(DenoiserPasses(denoiser)(noisy, timestep, context, bias), wanted, atol=1e-5)


def test_the_ring_hands_out_each_clip_with_its_own_caption_and_places(tokenizer):
    ring = LatentRing(build_autoencoder().eval(), CaptionEncoder(tokenizer), 2, seed=3, device="cpu")
    ring.refresh(2)
    scenes = sample_scenes(torch.Generator().manual_seed(3), 2, NUM_FRAMES)
    tokens, _ = CaptionEncoder(tokenizer)(scenes.captions)
    batch = ring.choose(6)
    assert batch.latents.shape == (6, LATENT_CHANNELS, *GRID)
    for row in range(6):
        index = next(i for i in range(2) if torch.equal(batch.tokens[row], tokens[i]))
        for slot in scenes.present[index].nonzero().flatten().tolist():
            for frame in range(GRID[0]):
                x, y = (scenes.boxes[index, slot, 4 * frame, :2] / 8).floor().long().tolist()
                if 0 <= x < WIDTH // 8 and 0 <= y < HEIGHT // 8:
                    # A ring is open in the middle, but its cells are at most some away.
                    assert batch.near[row, frame, max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5].any()
        assert bool(batch.near[row].any()) == bool(scenes.present[index].any())


def test_euler_steps_of_the_twins_points_lead_straight_to_a_clip():
    scheduler = build_scheduler()
    scheduler.set_timesteps(STEPS)
    assert scheduler.sigmas[0] == 1 and scheduler.sigmas[-1] == 0 and len(scheduler.sigmas) == STEPS + 1
    clip, noisy = torch.randn(2, 4), torch.randn(2, 4)
    for timestep, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        assert float(timestep) == pytest.approx(1000 * float(sigma), rel=1e-4)  # as in training
        noisy = scheduler.step((noisy - clip) / sigma, timestep, noisy).prev_sample
    assert torch.allclose(noisy, clip, atol=1e-5)


@torch.no_grad()
def test_a_low_rank_layer_begins_as_what_it_surrounds_and_ends_as_the_sum():
    denoiser = tiny_denoiser()
    arguments = torch.randn(1, LATENT_CHANNELS, 1, 4, 4), torch.tensor([500.0]), torch.randn(1, 3, TEXT_WIDTH)
    before = denoiser(*arguments).sample
    layers = add_low_rank(denoiser, 4)
    assert torch.equal(denoiser(*arguments).sample, before)
    for layer in layers.values():
        layer.lora_B.normal_(std=0.1)
    after = denoiser(*arguments).sample
    merged = tiny_denoiser()
    weights = {name.replace(".layer.", "."): value for name, value in denoiser.state_dict().items()}
    for name, layer in layers.items():
        weights[f"{name}.weight"] = layer.layer.weight + layer.lora_B @ layer.lora_A
    merged.load_state_dict({name: value for name, value in weights.items() if "lora" not in name})
    assert not torch.allclose(after, before, atol=1e-3)
    assert torch.allclose(merged(*arguments).sample, after, atol=1e-5)


def test_a_decoder_trained_alone_leaves_the_latents_as_they_are(tmp_path):
    build_autoencoder().save_pretrained(tmp_path / "vae")
    trainer = autoencoder_training.Trainer(tmp_path, 0, join("cpu"), decoder_of=tmp_path / "vae")
    before = {name: value.clone() for name, value in trainer.vae.state_dict().items()}
    clips = torch.rand(1, 3, 5, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    trainer.learn(clips, torch.ones(1, 1, 5, 16, 16), rate=1.0)
    changed = {
        name for name, value in trainer.vae.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed and not [name for name in changed if name.startswith(("encoder", "quant_conv"))]


@pytest.mark.slow
def test_every_stage_goes_on_where_it_was_interrupted_and_leaves_what_diffusers_loads(tmp_path, monkeypatch):
    for stage in (autoencoder_training, denoiser_training, twin_training):
        monkeypatch.setattr(stage, "_LOOK_INTERVAL", 1)
        monkeypatch.setattr(stage, "_LOG_INTERVAL", 1)
    monkeypatch.setattr(denoiser_training, "build_denoiser", tiny_denoiser)
    one = {"seed": 0, "device": "cpu", "batch": 1}
    ring = {"capacity": 1, "chunk": 1, "chunk_interval": 2}
    for _ in range(2):
        autoencoder_training.train_autoencoder(tmp_path, 1e9, 0, **one, **ring, held_out=1)
    for _ in range(2):
        denoiser_training.train_denoiser(tmp_path, 1e9, 0, **one, **ring, probe_clips=0)
    twin_training.train_twin(tmp_path, 0.01, **one, paths=1, probe_clips=0)
    for name in ("autoencoder", "denoiser"):
        log = [json.loads(line) for line in (tmp_path / f"{name}_log.jsonl").read_text().splitlines()]
        assert [entry["step"] for entry in log] == [1, 2]
    assert json.loads((tmp_path / "autoencoder_measures.jsonl").read_text().splitlines()[-1])["error"] >= 0
    pipe = WanPipeline.from_pretrained(tmp_path / "pipeline", dtype=torch.float32)
    assert len(pipe.vae.config.latents_std) == LATENT_CHANNELS and pipe.vae.config.latents_std[0] != 1
    known = pipe.transformer.state_dict()
    lora = load_file(tmp_path / "twin" / "pytorch_lora_weights.safetensors")
    for name, value in lora.items():
        layer, half = name.removeprefix("transformer.").removesuffix(".weight").rsplit(".", 1)
        rows, columns = known[f"{layer}.weight"].shape
        assert value.shape[half == "lora_A"] == (columns if half == "lora_A" else rows)
