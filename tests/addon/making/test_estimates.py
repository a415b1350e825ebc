# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a clip will take, learnt from those before."""

import json

import pytest
from scenes import small_shot

from blender_addon.engine import catalogue
from blender_addon.engine.messages import Phase
from blender_addon.engine.orders import Order
from blender_addon.making import engine_choice, estimates
from blender_addon.shot import shots


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that the extension may keep files in."""
    monkeypatch.setattr(engine_choice, "user_folder", lambda: tmp_path)
    estimates.forget()
    yield tmp_path
    estimates.forget()


def made(tmp_path, steps=25, seconds_a_step=2.0, rest=30.0, **size):
    """The order of a clip that took so long."""
    job = {"model": "shapes", "width": 288, "height": 160, "num_frames": 16} | size
    order = Order(1, "a", job, tmp_path)
    order.apply(Phase("denoise"))
    order.finished = [(1, 100.0), (steps, 100.0 + (steps - 1) * seconds_a_step)]
    order.apply(Phase("decode"))
    order.asked = order.finished[-1][1] - steps * seconds_a_step - rest
    return order


def learn(order, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("blender_addon.engine.orders.time.monotonic", lambda: order.finished[-1][1])
        estimates.learn(order)


def test_a_clip_takes_as_long_as_the_last_one_of_its_model(scene, folder, monkeypatch):
    small_shot(scene)
    one = [shots.whole(scene)]
    assert estimates.seconds_of(scene, one, 1) is None
    learn(made(folder), monkeypatch)
    assert estimates.seconds_of(scene, one, 1) == pytest.approx(25 * 2 + 30)
    assert estimates.seconds_of(scene, one * 3, 2) == pytest.approx(6 * 25 * 2 + 30)
    assert estimates.seconds_of(scene, one * 3, 2, lambda model: model == "shapes") == pytest.approx(300)
    scene.peekaboo.num_inference_steps = 10
    assert estimates.seconds_of(scene, one, 1) == pytest.approx(10 * 2 + 30)
    assert estimates.start_of("shapes") == pytest.approx(30)
    assert estimates.after_steps(made(folder).job) == 0
    order = made(folder)
    order.ended, order.loaded = order.finished[-1][1] + 6, True
    learn(order, monkeypatch)
    assert estimates.after_steps(made(folder).job) == pytest.approx(6)
    assert estimates.after_steps(made(folder, num_frames=8).job) == pytest.approx(3)
    assert estimates.seconds_of(scene, one, 1) == pytest.approx(10 * 2 + 36)
    again = made(folder, rest=1)  # by the engine that has loaded the model for the one before
    again.ended = again.finished[-1][1] + 4
    learn(again, monkeypatch)
    assert estimates.start_of("shapes") == pytest.approx(30)
    assert estimates.seconds_of(scene, one, 1) == pytest.approx(10 * 2 + 34)
    assert estimates.seconds_of(scene, one, 1, lambda _: True) == pytest.approx(10 * 2 + 4)
    assert estimates.start_of("zeroscope") is None


def test_steps_take_longer_where_there_are_more_pixels_and_far_off_nothing_is_said(
    scene, folder, monkeypatch
):
    small_shot(scene)
    learn(made(folder, width=144), monkeypatch)
    assert estimates.seconds_of(scene, [shots.whole(scene)], 1) == pytest.approx(25 * 4 + 30)
    learn(made(folder, width=32, height=32), monkeypatch)
    assert estimates.seconds_of(scene, [shots.whole(scene)], 1) is None


def test_another_session_knows_it_and_nonsense_in_the_file_is_nothing(scene, folder, monkeypatch):
    small_shot(scene)
    learn(made(folder), monkeypatch)
    estimates.forget()
    assert estimates.seconds_of(scene, [shots.whole(scene)], 1) == pytest.approx(80)
    file = folder / estimates.FILE
    good = json.loads(file.read_text())
    for text in ("", "[]", "[[1]]", '{"shapes": 3}', '{"shapes": [1]}', '{"shapes": ["a", 1, 2]}'):
        file.write_text(text)
        estimates.forget()
        assert estimates.seconds_of(scene, [shots.whole(scene)], 1) is None
    for numbers in ([0, 1, 1], [1e9999, 1, 1], [9, -1, 1]):
        file.write_text(json.dumps(good | {"shapes": numbers}))
        estimates.forget()
        assert estimates.seconds_of(scene, [shots.whole(scene)], 1) is None


def test_each_model_of_the_catalogue_says_its_steps():
    assert all(catalogue.steps_of(name) > 0 for name in catalogue.catalogue())
