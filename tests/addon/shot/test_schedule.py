# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules of few steps: which go with a model, and what is said of the others."""

import bpy
import pytest

from blender_addon.engine import catalogue
from blender_addon.errors import PeekabooError
from blender_addon.making import delivery
from blender_addon.shot import schedule

LORA = "owner/name/few.safetensors"


@pytest.mark.parametrize(
    ("model", "some"),
    [("wan2.1-t2v-1.3b", {"distilled-4", "fastwan-3"}), ("ltx-2", {"ltx-distilled"}), ("shapes", set())],
)
def test_a_model_is_offered_the_schedules_of_its_family(scene, model, some):
    scene.peekaboo.model = model
    offered = set(schedule.fitting(scene))
    assert some <= offered and ("ltx-distilled" in offered) == (model == "ltx-2")
    for name in catalogue.schedules():
        scene.peekaboo.schedule, scene.peekaboo.loras = name, f"{LORA}:1:both:distils"
        assert (schedule.problem(scene) is None) == (name in offered)


def test_a_schedule_of_another_family_is_refused_before_all_work(scene):
    scene.peekaboo.model, scene.peekaboo.schedule = "shapes", "distilled-4"
    with pytest.raises(PeekabooError, match="is for models of Wan, which this one is not"):
        next(delivery.orders_of(scene))
    scene.peekaboo.schedule = "auto"
    assert schedule.problem(scene) is None


def test_what_a_schedule_wants_of_loras_is_said(scene):
    scene.peekaboo.model, scene.peekaboo.schedule = "wan2.1-t2v-1.3b", "distilled-4"
    assert schedule.problem(scene) is None and "a blur" in schedule.hint(scene)
    scene.peekaboo.loras = LORA
    assert schedule.hint(scene) is None
    scene.peekaboo.schedule = "guided-head"
    assert "tick Distils" in schedule.problem(scene)
    scene.peekaboo.loras = f"{LORA}:1:both:distils"
    assert schedule.problem(scene) is None
    scene.peekaboo.model, scene.peekaboo.loras = "wan2.2-t2v-a14b-4step", ""
    assert schedule.problem(scene) is None and schedule.hint(scene) is None


def test_the_menu_sets_what_it_offers(scene):
    scene.peekaboo.model = "wan2.1-t2v-1.3b"
    bpy.ops.peekaboo.choose_schedule(schedule="fastwan-3")
    assert scene.peekaboo.schedule == "fastwan-3"
