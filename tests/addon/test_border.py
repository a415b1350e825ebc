# SPDX-License-Identifier: GPL-3.0-or-later
"""What crosses the border to the engine and back, held against what its own tests wrote or will read."""

import json

import bpy
import pytest
from scenes import small_shot, write_shot

from blender_addon.engine import messages
from blender_addon.shot.phrases import phrase_problem
from blender_addon.shot.pictures import Picture

REFUSALS = {
    "empty_phrase": ("has no phrase",),
    "phrase_not_in_prompt": ("does not occur",),
    "phrases_overlap": ("share words", "fewer times"),
}


def test_the_addon_finds_the_phrases_that_the_engine_finds(agreed):
    for case in agreed("phrases"):
        problem = phrase_problem(case["prompt"], [("Subject", phrase) for phrase in case["phrases"]])
        if "found" in case:
            assert problem is None, case
        else:
            assert problem and any(part in problem for part in REFUSALS[case["refused"]]), case
            assert ". " not in problem.replace(case["prompt"], "")  # one sentence


def test_every_event_of_the_engine_is_understood(agreed):
    passed_over = []
    for line in agreed("events"):
        message = messages.parse(json.dumps(line).encode())
        if message is None:
            passed_over.append(line["event"])
            continue
        # when it was read is none of the engine's
        stated = {name: value for name, value in vars(message).items() if name not in {"job", "status", "at"}}
        made = {
            name: line[name] if value is None else type(value)(line[name]) for name, value in stated.items()
        }
        assert made == stated
        assert getattr(message, "job", None) == line.get("id")
    assert passed_over == ["freed"]  # the keeper does not wait for it


@pytest.mark.parametrize("kind", ["plain", "set"])
def test_what_a_job_says_is_agreed_with_the_engine(scene, tmp_path, agree, kind):
    ball, _ = small_shot(scene)
    settings = scene.peekaboo
    settings.seed_mode, settings.seed = "FIXED", 7
    pictures = {}
    if kind == "set":
        settings.negative_prompt = "blurry"
        settings.num_inference_steps, settings.guidance_scale = 12, 5.5
        settings.method, settings.masked_steps, settings.widen_small = "peekaboo", 4, False
        settings.schedule = "none"
        settings.smooth = settings.enlarge = True
        settings.framing = -0.5
        settings.loras = "owner/name/style.safetensors:0.5\nowner/name/few.safetensors:1:low:distils"
        settings.start_from = settings.end_with = "rendered"
        pictures = {
            f"{which}_frame": Picture(f"{which}_frame_0123456789ab.png", b"") for which in ("first", "last")
        }
        settings.occluded_by_scene = settings.motion_blur = True
        bpy.ops.peekaboo.add_timed_phrase(phrase="on grass")
        ball.peekaboo.outline = "SURFACE"
        scene.render.fps, scene.render.fps_base = 30, 1.001
        for frame, strength in ((1, 1.0), (4, 0.25)):
            ball.peekaboo.strength = strength
            ball.keyframe_insert("peekaboo.strength", frame=frame)
    write_shot(scene, tmp_path / "job", pictures)
    agree(f"job_{kind}", json.loads((tmp_path / "job" / "job.json").read_text("utf-8")))
