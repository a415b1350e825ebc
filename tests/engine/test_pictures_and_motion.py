# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of Stable Diffusion and AnimateDiff, from their folders to what lies on disk."""

import json

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler
from tiny import animatediff, stable_diffusion, stable_diffusion_xl
from tiny.stable_diffusion import HEIGHT, WIDTH

from peekaboo_engine import previews
from peekaboo_engine.errors import EngineError
from peekaboo_engine.loading import load_model
from peekaboo_engine.models import find_model
from peekaboo_engine.placement import Placement
from peekaboo_engine.video import count_frames
from peekaboo_engine.worker import Worker

CLEAN = {
    DDIMScheduler: {"clip_sample": False},
    EulerDiscreteScheduler: {"timestep_spacing": "leading"},  # whole timesteps
    PNDMScheduler: {"skip_prk_steps": True},
}


class Listener:
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, kind):
        return lambda *args, **fields: self.told.append((kind, args or fields))


@pytest.fixture
def make(make_job, two_boxes, tmp_path, monkeypatch):
    """Make a job with a tiny model: a list of what was told, and the folder of the results."""
    monkeypatch.setattr(previews, "SECONDS", 0.0)
    monkeypatch.setattr(previews, "SHARE", 1e9)

    def run(model, frames, **changes):
        timing = {"frame_start": 1, "frame_count": 12, "fps": 24, "fps_base": 1.0}
        timing["scene_frames"] = [float(frame) for frame in range(frames)]
        folder = make_job(
            np.repeat(two_boxes[:1], frames, axis=0),
            model=str(model),
            num_frames=frames,
            timing=timing,
            **changes,
        )
        events, out = Listener(), tmp_path / "out"
        Worker(Placement(device="cpu"), previews=True).run(folder, out, events, lambda: False)
        return events.told, out

    return run


def saved(tmp_path, tiny, **stated):
    """A folder of a tiny model, and what its ``peekaboo.json`` states."""
    folder = tmp_path / "model"
    tiny.pipeline().save_pretrained(folder)
    (folder / "peekaboo.json").write_text(json.dumps({"width": WIDTH, "height": HEIGHT, **stated}))
    return folder


@pytest.mark.parametrize("tiny", [stable_diffusion, stable_diffusion_xl])
def test_a_job_of_one_frame_becomes_a_picture(make, tmp_path, tiny):
    told, out = make(saved(tmp_path, tiny), 1)
    assert told[-1][0] == "result", told[-1]
    assert told[-1][1]["clip"] == out.resolve() / "clip.png"
    assert [kind for kind, _ in told].count("preview") == 2
    assert {path.name for path in out.iterdir()} == {"clip.png", "clip.json", "thumbnail.png"}
    picture = imageio.imread(out / "clip.png")
    assert picture.shape == (HEIGHT, WIDTH, 3) and picture.std() > 1
    record = json.loads((out / "clip.json").read_text())
    assert record["job"]["num_frames"] == 1


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("scheduler_class", [DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler])
def test_the_clean_latents_of_any_scheduler_of_pictures_are_told(scheduler_class, prediction_type):
    """A denoiser that knows the answer: what is told is it, at every step."""
    scheduler = scheduler_class(prediction_type=prediction_type, **CLEAN[scheduler_class])
    scheduler.set_timesteps(6)
    clean = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    for timestep in list(scheduler.timesteps)[-3:]:
        sample = scheduler.add_noise(clean, noise, timestep[None])
        alpha = scheduler.alphas_cumprod[int(timestep)]
        v = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        answer = noise if prediction_type == "epsilon" else v
        output = scheduler.step(answer, timestep, sample)
        told = previews.clean_latents(scheduler, output, timestep, answer, sample)
        torch.testing.assert_close(told, clean, atol=1e-3, rtol=1e-3)


def test_several_frames_of_a_picture_are_refused_before_the_model_is_loaded(make, tmp_path):
    told, out = make(saved(tmp_path, stable_diffusion), 5)
    assert [kind for kind, _ in told] == ["error"] and not (out / "clip.png").exists()
    code, message = told[0][1]
    assert code == "bad_size" and message == "This model makes pictures, of one frame, not 5; take 1."


@pytest.mark.parametrize("holds_back", [False, True])
def test_a_picture_that_the_safety_checker_holds_back_is_an_error(make, tmp_path, holds_back):
    folder = saved(tmp_path, stable_diffusion)
    stable_diffusion.with_safety_checker(holds_back).save_pretrained(folder)
    told, out = make(folder, 1)
    assert (out / "clip.png").exists() is not holds_back
    if holds_back:
        assert told[-1] == ("error", ("held_back", told[-1][1][1])) and "safety checker" in told[-1][1][1]


def test_a_safety_checker_is_no_part_of_what_moves(make, tmp_path):
    folder = with_adapter(tmp_path, pipeline="AnimateDiffPipeline", motion_adapter="../motion")
    stable_diffusion.with_safety_checker(True).save_pretrained(folder)
    told, _ = make(folder, 5)
    assert told[-1][0] == "result", told[-1]


def with_adapter(tmp_path, **stated):
    """A tiny Stable Diffusion whose folder names a motion adapter beside it."""
    animatediff.adapter().save_pretrained(tmp_path / "motion")
    return saved(tmp_path, stable_diffusion, **stated)


def test_a_motion_adapter_makes_clips_of_a_stable_diffusion(make, tmp_path):
    folder = with_adapter(tmp_path, pipeline="AnimateDiffPipeline", motion_adapter="../motion")
    told, out = make(folder, 5)
    assert told[-1][0] == "result", told[-1]
    assert count_frames(out / "clip.mp4") == 12
    assert [kind for kind, _ in told].count("preview") == 2
    weights = json.loads((out / "clip.json").read_text())["model"]
    assert weights["motion_adapter"] == "motion" and len(weights["motion_adapter_sha256"]) == 64


def test_the_adapter_brings_its_noise_schedule_and_its_weights(tmp_path):
    folder = with_adapter(tmp_path, pipeline="AnimateDiffPipeline", motion_adapter=str(tmp_path / "motion"))
    model = load_model(find_model(str(folder)), Placement(device="cpu"))
    config = model.pipe.scheduler.config
    assert (config.beta_schedule, config.timestep_spacing, config.clip_sample) == (
        "linear",
        "linspace",
        False,
    )
    own = animatediff.adapter().down_blocks[0].motion_modules[0].state_dict()
    for name, value in model.pipe.unet.down_blocks[0].motion_modules[0].state_dict().items():
        torch.testing.assert_close(value, own[name])


@pytest.mark.parametrize(
    "stated",
    [
        {"pipeline": "AnimateDiffPipeline"},
        {"motion_adapter": "../motion"},
        {"pipeline": "AnimateDiffPipeline", "motion_adapter": "../nowhere"},
        {"pipeline": "AnimateDiffPipeline", "motion_adapter": "someone/adapter"},
    ],
)
def test_half_of_an_adapter_is_one_sentence(tmp_path, stated):
    with pytest.raises(EngineError, match="motion adapter") as caught:
        load_model(find_model(str(with_adapter(tmp_path, **stated))), Placement(device="cpu"))
    assert caught.value.code == "bad_model" and "peekaboo.json" in caught.value.message


def test_a_picture_may_follow_a_clip_in_the_same_folder(make, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "clip.mp4").write_text("an earlier clip")
    make(saved(tmp_path, stable_diffusion), 1)
    assert {path.name for path in out.iterdir()} == {"clip.png", "clip.json", "thumbnail.png"}
