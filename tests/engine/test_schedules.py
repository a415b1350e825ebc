# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules of few steps, and windows that no schedule's rounding decides."""

import itertools
import json

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from safetensors.torch import save_file
from test_loras import matrices
from tiny import ltx2, wan

from peekaboo_engine.control import peekaboo
from peekaboo_engine.control.levels import NoiseLevels
from peekaboo_engine.control.settings import preset
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families import FAMILIES, WAN
from peekaboo_engine.generator import settings_of
from peekaboo_engine.job import load_job
from peekaboo_engine.loading import LoadedModel
from peekaboo_engine.loras import Lora, find, put_on
from peekaboo_engine.models import catalogue
from peekaboo_engine.sampling import Sampling, Shot, sample
from peekaboo_engine.schedules import NO_SCHEDULE, find_schedule, following, follows, new_noise, schedules

STRONG = [preset("strong", family) for family in FAMILIES]
WINDOWS = sorted({level for steering in STRONG for level in (steering.until, steering.bound_until)} - {1.0})
FLOW = {"UniPC": 1, "Euler": 1}
CLEAR = 1e-5
"""How far a window stays away from every noise level: hundreds of times what single precision rounds."""


def flow_scheduler(name, shift, steps):
    if name == "Euler":
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    else:
        scheduler = UniPCMultistepScheduler(
            use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=shift
        )
    scheduler.set_timesteps(steps)
    return scheduler


@pytest.mark.parametrize("shift", [1, 3, 5, 7, 8, 12, 16])
@pytest.mark.parametrize("name", ["UniPC", "Euler"])
def test_no_step_of_any_flow_schedule_falls_on_the_end_of_a_window(name, shift):
    flow = [
        level
        for family, steering in zip(FAMILIES, STRONG, strict=True)
        if family.half == "bfloat16"
        for level in (steering.until, steering.bound_until)
        if level < 1
    ]
    assert set(flow) == {0.89, 0.49}
    for steps in range(3, 51):
        levels = NoiseLevels(flow_scheduler(name, shift, steps))
        distances = [abs(levels[turn] - end) for turn in range(steps) for end in set(flow)]
        assert min(distances) > CLEAR, steps


@pytest.mark.parametrize("schedule", ["scaled_linear", "linear"])
def test_no_step_of_older_schedulers_falls_on_the_end_of_a_window(schedule):
    for steps in range(3, 101):
        scheduler = DDIMScheduler(beta_schedule=schedule, beta_start=0.00085, beta_end=0.012)
        scheduler.set_timesteps(steps)
        levels = NoiseLevels(scheduler)
        assert min(abs(levels[turn] - end) for turn in range(steps) for end in WINDOWS) > CLEAR, steps


def test_the_schedulers_would_differ_at_a_round_level():
    """What the two tests above are for: at .9, rounding decides a quarter of a clip of four steps."""
    euler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    euler.set_timesteps(sigmas=np.linspace(1, 1 / 4, 4))
    masked = [
        sum(NoiseLevels(scheduler)[turn] > 0.9 for turn in range(4))
        for scheduler in (euler, flow_scheduler("UniPC", 3, 4))
    ]
    assert masked == [1, 2]


@pytest.mark.parametrize("name", list(schedules()))
def test_a_schedule_goes_down_from_noise_and_hits_no_end_of_a_window(name):
    schedule = schedules()[name]
    sigmas = np.array(schedule.sigmas)
    assert sigmas[0] == 1 and (np.diff(sigmas) < 0).all() and sigmas[-1] > 0
    assert np.abs(sigmas[:, None] - WINDOWS).min() > 0.002
    assert set(schedule.families) <= {family.name for family in FAMILIES}
    assert schedule.guidance_scale == 1 or schedule.guided_steps
    assert schedule.guided_steps < schedule.steps


def test_steps_of_distilled_loras_are_those_that_they_were_trained_at():
    """lightx2v's timesteps are 1000, 937.5, 833.3 and 625 (ModelTC/LightX2V-Wan2.2-Lightning, issue 3)."""
    for name, steps in (("distilled-4", 4), ("distilled-8", 8), ("guided-head", 8)):
        rest = 1 - np.arange(steps) / steps
        assert schedules()[name].sigmas == pytest.approx(5 * rest / (1 + 4 * rest), abs=1e-6)
        nearly = flow_scheduler("UniPC", 5, steps).sigmas[:steps].tolist()
        assert schedules()[name].sigmas == pytest.approx(nearly, abs=2e-3)
    assert 1000 * np.array(schedules()["distilled-4"].sigmas) == pytest.approx(
        [1000, 937.5, 833.3, 625], abs=0.1
    )


def test_ltx_has_the_noise_levels_that_diffusers_knows():
    from diffusers.pipelines.ltx2.utils import DISTILLED_SIGMA_VALUES

    assert list(schedules()["ltx-distilled"].sigmas) == DISTILLED_SIGMA_VALUES


def test_entries_of_the_catalogue_name_schedules_of_their_family():
    for entry in catalogue().values():
        if entry.schedule:
            schedule = find_schedule(entry.schedule, entry.family)
            assert (entry.num_inference_steps, entry.guidance_scale) == (
                schedule.steps,
                schedule.guidance_scale,
            )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("few", 'is none that is known; for models of Wan take "none" or "distilled-4'),
        ("ltx-distilled", "of LTX2;"),
    ],
)
def test_another_schedule_is_refused_with_those_that_fit(name, words):
    with pytest.raises(EngineError, match=words):
        find_schedule(name, WAN)
    assert find_schedule(NO_SCHEDULE, WAN) is find_schedule(None, WAN) is None


@pytest.fixture(scope="module")
def few():
    return wan.pipeline()


@pytest.fixture
def distilling(tmp_path, few):
    """The pipeline with a style, and a LoRA that distils."""
    files = []
    for name, distils in (("style", False), ("few", True)):
        save_file(matrices(few, int(distils)), tmp_path / f"{name}.safetensors")
        files.append(find(Lora(source=str(tmp_path / f"{name}.safetensors"), distils=distils, weight=0.5)))
    put_on(few, WAN, files, torch.float32)
    yield files
    few.unload_lora_weights()


def seen(few, schedule, loras=(), guidance_scale=1.0, seed=0, **options):
    """Timesteps that the denoiser is called at, and the latents in the end."""
    timesteps = []
    handle = few.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: timesteps.append(float(kwargs["timestep"][0])), with_kwargs=True
    )
    with following(few, WAN, schedule, loras, seed):
        assert follows(few, schedule)
        latents = wan.latents(few, steps=schedule.steps, guidance_scale=guidance_scale, **options)
    handle.remove()
    return timesteps, latents


def test_a_pipeline_samples_at_the_schedules_levels_whatever_its_scheduler_is(few):
    schedule, own = schedules()["distilled-4"], few.scheduler
    results = []
    for scheduler in (own, flow_scheduler("UniPC", 8, 5)):
        few.scheduler = scheduler
        timesteps, latents = seen(few, schedule)
        assert timesteps == pytest.approx([1000, 937.5, 833.333, 625])
        assert few.scheduler is scheduler and not follows(few, schedule)
        results.append(latents)
    few.scheduler = own
    assert torch.equal(*results)


def test_steps_are_eulers_or_go_back_to_noise(few):
    for name in ("distilled-4", "fastwan-3"):
        schedule = schedules()[name]
        _, got = seen(few, schedule)
        text, _ = wan.texts(few)
        fresh = new_noise(0)
        x = torch.randn(1, 16, 3, 8, 12, generator=torch.Generator().manual_seed(0))
        levels = [*schedule.sigmas, 0.0]
        for level, following_level in itertools.pairwise(levels):
            with torch.no_grad():
                velocity = wan.denoise(few, x, torch.tensor(1000.0 * level), text)
            clean = x - level * velocity
            if schedule.renoised:
                noise = torch.randn(x.shape, generator=fresh)
                x = (1 - following_level) * clean + following_level * noise
            else:
                x = x + (following_level - level) * velocity
        torch.testing.assert_close(got, x, atol=2e-4, rtol=1e-3)


def test_new_noise_is_not_the_noise_that_the_clip_began_as():
    """A step that gets the old noise back goes on as it came: nothing of it is new."""
    for seed in (0, 1, 2**63 - 1):
        began, new = (
            torch.randn(4096, generator=generator)
            for generator in (torch.Generator().manual_seed(seed), new_noise(seed))
        )
        assert abs(float(torch.corrcoef(torch.stack([began, new]))[0, 1])) < 0.1


def test_new_noise_comes_from_the_seed(few):
    schedule = schedules()["fastwan-3"]
    first, again, other = (seen(few, schedule, seed=seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_guided_head_is_guided_and_undistilled_and_the_rest_is_neither(few, distilling):
    schedule = schedules()["guided-head"]
    timesteps, latents = seen(few, schedule, distilling, guidance_scale=3.5)
    calls = [timesteps.count(pytest.approx(1000 * sigma)) for sigma in schedule.sigmas]
    assert calls[:3] == [2, 2, 2]

    def after_step(pipe, step, timestep, tensors):  # the same by hand, through the pipeline's own properties
        if step == 2:
            pipe.set_adapters(["lora_0", "lora_1"], [0.5, 0.5])
            pipe._guidance_scale = 1.0
        return tensors

    few.set_adapters(["lora_0"], [0.5])
    scheduler, few.scheduler = few.scheduler, FlowMatchEulerDiscreteScheduler(shift=1.0)
    pinned = few.scheduler.set_timesteps
    few.scheduler.set_timesteps = lambda *_, device=None: pinned(sigmas=list(schedule.sigmas), device=device)
    by_hand = wan.latents(few, steps=8, guidance_scale=3.5, callback_on_step_end=after_step)
    few.scheduler = scheduler
    assert torch.equal(latents, by_hand)


def test_a_guided_head_runs_each_later_step_once_masked_too(few, distilling):
    schedule = schedules()["guided-head"]
    ran = []
    forward = few.transformer.blocks[0].forward
    few.transformer.blocks[0].forward = lambda *args, **kwargs: (ran.append(1), forward(*args, **kwargs))[1]
    labels = np.zeros((wan.FRAMES, wan.HEIGHT, wan.WIDTH), np.uint8)
    labels[:, :, :48] = 1
    try:
        with (
            following(few, WAN, schedule, distilling, 0),
            peekaboo(few, labels, ["a red ball"], steering=preset("strong", WAN)),
        ):
            wan.latents(few, steps=8, guidance_scale=3.5)
        assert len(ran) == 3 * 2 + 5
    finally:
        del few.transformer.blocks[0].forward


def test_a_guided_head_leaves_the_loras_as_they_were(few, distilling):
    plain = wan.latents(few)
    with pytest.raises(RuntimeError), following(few, WAN, schedules()["guided-head"], distilling, 0):
        raise RuntimeError
    assert torch.equal(wan.latents(few), plain)
    assert "forward" not in vars(few.transformer)


def test_a_guided_head_needs_to_know_which_lora_distils(few, distilling):
    with (
        pytest.raises(EngineError, match=r"leaves the LoRA that distils off .* say which"),
        following(few, WAN, schedules()["guided-head"], distilling[:1], 0),
    ):
        pass


def test_a_job_takes_steps_and_guidance_from_its_schedule(make_job, tmp_path):
    wan.pipeline().save_pretrained(tmp_path / "wan")
    folder = make_job(
        model=str(tmp_path / "wan"), num_inference_steps=None, guidance_scale=None, schedule="guided-head"
    )
    job, _ = load_job(folder)
    entry = catalogue()["wan2.1-t2v-1.3b"]
    settings = settings_of(job, entry)
    assert (settings.num_inference_steps, settings.guidance_scale, settings.schedule) == (
        8,
        3.5,
        "guided-head",
    )
    with pytest.raises(EngineError, match="has 8 steps of its own, not 30; leave the steps open"):
        settings_of(job.model_copy(update={"num_inference_steps": 30}), entry)
    with pytest.raises(EngineError, match="is for models of Wan"):
        settings_of(job, catalogue()["zeroscope"])


def test_a_sampling_tells_its_schedule_only_where_it_has_one():
    assert Sampling(4, 1.0).described() == {"num_inference_steps": 4, "guidance_scale": 1.0}
    described = Sampling(4, 1.0, schedules()["distilled-4"]).described()
    assert json.loads(json.dumps(described)) == described and described["schedule"]["sigmas"][1] == 0.9375


def test_sound_beside_pictures_follows_the_same_schedule(monkeypatch):
    """LTX-2 copies its scheduler for the sound."""
    pipe, entry = ltx2.pipeline(), catalogue()["ltx-2"]
    entry = entry.model_copy(update={"max_sequence_length": ltx2.TEXT_LENGTH})
    model = LoadedModel(entry, pipe, {}, "cpu", "float32")
    schedule, levels, step = schedules()["ltx-distilled"], {}, FlowMatchEulerDiscreteScheduler.step

    def watched(scheduler, *args, **kwargs):
        levels[scheduler] = scheduler.sigmas.tolist()
        return step(scheduler, *args, **kwargs)

    monkeypatch.setattr(FlowMatchEulerDiscreteScheduler, "step", watched)
    shot = Shot(ltx2.PROMPT, ltx2.FRAMES, ltx2.HEIGHT, ltx2.WIDTH, seed=0)
    with following(pipe, entry.family, schedule, (), 0):
        sample(model, shot, Sampling(8, 1.0, schedule), lambda _step: None)
    assert list(levels.values()) == [pytest.approx([*schedule.sigmas, 0])] * 2
    with pytest.raises(AssertionError):
        sample(model, shot, Sampling(8, 1.0, schedule), lambda _step: None)
