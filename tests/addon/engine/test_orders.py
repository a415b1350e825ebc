# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue against engines that work, die, leave and do not listen."""

import os
import signal
import time
from pathlib import Path

import pytest
import stand_in
from test_process import ECHO, gone

from blender_addon.engine import orders, process
from blender_addon.engine.messages import Phase, Progress, Result
from blender_addon.engine.orders import Order, Queue
from blender_addon.engine.process import EngineSettings
from blender_addon.errors import PeekabooError

PATIENCE = 30


def test_the_title_of_an_order_is_one_line_whatever_a_shot_is_called(tmp_path):
    assert Order(1, "Close\x1b[2J\n\u202e, seed 0", {}, tmp_path).title == r"Close\x1b[2J\n\u202e, seed 0"


class Shop:
    """A queue with its engine's settings."""

    def __init__(self, folder: Path):
        self.folder, self.queue = folder, Queue()
        self.settings = EngineSettings(stand_in.write(folder, stand_in.HELLO + ECHO, out=False), False, 60)

    def add(self, name: str) -> Order:
        order = Order(1, name, {"seed": 0}, self.folder / name)
        order.folder.mkdir()
        self.queue.add(order)
        return order

    def look(self):
        self.queue.advance(lambda: self.settings, self.folder)

    def until(self, holds):
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, self.queue.outcomes
            self.look()
            time.sleep(0.01)

    def texts(self):
        return [outcome.text for outcome in self.queue.outcomes]


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    yield shop
    shop.queue.leave(1)


def test_jobs_run_in_their_order_on_one_engine(shop):
    orders = [shop.add(name) for name in "abc"]
    shop.look()
    first = shop.queue.keeper.engine.process.pid
    shop.until(lambda: len(shop.queue.arrived) == 3)
    assert shop.queue.arrived == orders and not shop.queue.outcomes
    assert shop.queue.keeper.engine.process.pid == first
    assert shop.queue.has_loaded("") and not shop.queue.has_loaded("another")
    assert all(order.clip.clip.is_file() and order.notice == "?" for order in orders)


def test_cancelling_the_running_one_goes_on_with_the_next(shop):
    stuck, after = shop.add("wait"), shop.add("a")
    shop.until(lambda: shop.queue.running is stuck)
    shop.queue.cancel(stuck)
    shop.until(lambda: shop.queue.arrived == [after])
    assert shop.texts() == ["The generation was cancelled; nothing was kept of it."]
    assert not stuck.folder.exists()


def test_waiting_jobs_are_cancelled_one_by_one_or_all(shop):
    running, one, two, three = (shop.add(name) for name in ("wait", "a", "b", "c"))
    shop.until(lambda: shop.queue.running is running)
    shop.queue.cancel(two)
    assert shop.queue.waiting == [one, three] and not two.folder.exists()
    shop.queue.cancel_all()
    shop.until(lambda: not shop.queue.busy)
    assert not any(order.folder.exists() for order in (running, one, three))


def test_an_engine_that_dies_costs_one_job_and_the_next_one_has_a_new_engine(shop):
    dying, after = shop.add("die"), shop.add("a")
    shop.until(lambda: shop.queue.arrived == [after])
    [text] = shop.texts()
    assert text.startswith("The engine was killed by SIGKILL, as happens when memory runs out:")
    assert not dying.folder.exists()


def test_a_clip_that_is_there_is_kept_where_only_its_finishing_fails(shop):
    order = shop.add("wait")
    shop.until(lambda: shop.queue.running is order)
    order.apply(Phase("finish"))
    os.kill(shop.queue.keeper.engine.process.pid, signal.SIGKILL)
    shop.until(lambda: shop.queue.arrived == [order])
    assert order.folder.exists() and order.unfinished.startswith("The engine was killed by SIGKILL")
    assert order.clip.clip == order.folder / "clip.mp4"


def test_an_engine_that_is_killed_while_it_waits_is_told_and_replaced(shop):
    shop.add("a")
    shop.until(lambda: shop.queue.arrived)
    shop.queue.arrived.clear()
    os.kill(shop.queue.keeper.engine.process.pid, signal.SIGKILL)
    shop.until(lambda: shop.queue.keeper.engine is None)
    assert len(shop.texts()) == 1
    shop.add("b")
    shop.until(lambda: shop.queue.arrived)
    assert not shop.texts()


def test_an_engine_that_leaves_just_when_a_job_comes_is_started_again_once(shop):
    order = shop.add("leave")
    shop.until(lambda: not shop.queue.busy)
    assert order.attempts == 2
    [text] = shop.texts()
    assert text.startswith("The engine ended with exit code 0 before the clip was done; its log is")


def test_one_that_does_not_listen_to_a_cancel_is_ended(shop, monkeypatch):
    monkeypatch.setattr(orders, "FIRST_CANCEL_SECONDS", 0.2)
    monkeypatch.setattr(process, "TERMINATE_SECONDS", 0.2)
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + stand_in.HELLO + "time.sleep(600)"
    shop.settings = EngineSettings(stand_in.write(shop.folder, body, out=False), False, 60)
    order = shop.add("a")
    shop.until(lambda: shop.queue.running is order)
    pid = shop.queue.keeper.engine.process.pid
    shop.queue.cancel(order)
    shop.until(lambda: not shop.queue.busy and shop.queue.keeper.reap())
    assert gone(pid) and shop.texts() == ["The generation was cancelled; nothing was kept of it."]


DEAF = """
import json
for line in sys.stdin:
    about = {"id": json.loads(line)["id"]}
    for step in (1, 2, 3):
        time.sleep(0.3)
        print(json.dumps({"event": "progress", "step": step, "total": 9} | about), flush=True)
"""


def deaf(shop):
    """An order that an engine has begun which hears no cancel."""
    shop.settings = EngineSettings(stand_in.write(shop.folder, stand_in.HELLO + DEAF, out=False), False, 60)
    order = shop.add("a")
    shop.until(lambda: order.step == 3)
    return order


def test_a_cancel_waits_for_as_long_as_steps_take_and_keeps_the_engine_meanwhile(shop, monkeypatch):
    monkeypatch.setattr(orders, "CANCEL_SECONDS", 0.0)
    order = deaf(shop)
    shop.queue.cancel(order)
    began = order.cancelled
    shop.look()
    assert shop.queue.running is order and shop.queue.keeper.engine is not None
    shop.until(lambda: not shop.queue.busy)
    assert time.monotonic() - began >= 3 * order.seconds_of_step > 0  # as they were read, of 0.3 s each


def test_a_cancel_in_the_first_step_waits_for_it_however_long_it_takes(shop, clock):
    body = stand_in.HELLO + "sys.stdin.read()"
    shop.settings = EngineSettings(stand_in.write(shop.folder, body, out=False), False, 60)
    order = shop.add("a")
    shop.until(lambda: shop.queue.keeper.device)
    shop.queue.cancel(order)
    clock[0] += 600
    shop.look()
    assert shop.queue.running is order and shop.queue.keeper.engine is not None


def test_a_second_cancel_does_not_wait(shop):
    order = deaf(shop)
    shop.queue.cancel(order)
    shop.look()
    assert shop.queue.running is order
    shop.queue.cancel(order)
    assert not shop.queue.busy and shop.queue.keeper.engine is None
    assert shop.texts() == ["The generation was cancelled; nothing was kept of it."]


@pytest.fixture
def clock(monkeypatch):
    """Blender's clock, which tests turn."""
    now = [100.0]
    monkeypatch.setattr(orders.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_comes_from_finished_steps_without_the_first_and_never_counts_up(clock):
    order = Order(1, "a", {}, Path("a"))
    order.apply(Phase("denoise"))
    clock[0] += 60  # what is done once
    order.apply(Progress(1, 10))
    assert order.text == "Generating, step 1 of 10"
    shown = []
    for step in range(2, 11):
        for _ in range(4):
            clock[0] += 1.25
            shown.append(order.seconds_left)
        order.apply(Progress(step, 10))
    told = [seconds for seconds in shown if seconds is not None]
    assert told == sorted(told, reverse=True) and told[:4] == [38.75, 37.5, 36.25, 35.0]
    assert order.seconds_left == 0
    clock[0] += 20
    assert order.seconds_left == 0


def test_a_step_that_took_far_longer_than_the_others_is_none_to_go_by(clock):
    order = Order(1, "a", {}, Path("a"))
    order.apply(Phase("denoise"))
    for step, took in enumerate((4.0, 0.3, 0.3, 0.8, 0.3, 0.4), 1):
        clock[0] += took
        order.apply(Progress(step, 40))
    assert order.seconds_of_step == pytest.approx(0.325)
    clock[0] += 1
    order.apply(Progress(7, 40, at=clock[0] - 0.7))  # taken late, and read in time
    assert order.seconds_of_step == pytest.approx(0.32)


def test_the_time_left_has_what_a_clip_usually_takes_after_its_steps(clock):
    order = Order(1, "a", {}, Path("a"), usual_rest=30.0)
    order.apply(Phase("denoise"))
    for step in (1, 2, 3):
        clock[0] += 5
        order.apply(Progress(step, 4))
    clock[0] += 1
    assert order.text == "Generating, step 3 of 4, 0:34 left"
    clock[0] += 4
    order.apply(Progress(4, 4))
    order.apply(Phase("decode"))
    clock[0] += 10
    assert order.text == "Decoding, 0:20 left"
    clock[0] += 60
    assert order.seconds_left == 0 and order.seconds_of_rest is None
    order.apply(Result(Path("a"), Path("a"), 3.0))
    assert order.seconds_of_rest == 70


def test_what_an_order_took_begins_when_its_engine_is_started(clock, tmp_path):
    queue, order = Queue(), Order(1, "a", {}, tmp_path / "a")
    queue.add(order)
    clock[0] += 50  # it waits
    settings = EngineSettings(stand_in.write(tmp_path, stand_in.HELLO + ECHO, out=False), False, 60)
    queue.advance(lambda: settings, tmp_path)
    clock[0] += 12
    order.apply(Result(tmp_path, tmp_path, 3.0))
    clock[0] += 30  # it waits for the user's hand
    assert order.seconds == 12
    queue.leave(1)


def test_other_settings_need_another_engine_which_waits_until_the_first_is_gone(shop):
    shop.add("a")
    shop.until(lambda: shop.queue.arrived)
    first = shop.queue.keeper.engine.process.pid
    shop.settings = EngineSettings(shop.settings.python, True, 60)
    shop.add("b")
    shop.until(lambda: shop.queue.running)
    assert gone(first)
    shop.until(lambda: len(shop.queue.arrived) == 2)


def test_without_an_engine_each_job_ends_with_one_and_the_same_sentence(shop):
    def missing():
        raise PeekabooError("There is none: get one.")

    orders = [shop.add(name) for name in "ab"]
    while shop.queue.busy:
        shop.queue.advance(missing, shop.folder)
    assert shop.texts() == ["There is none: get one."]
    assert not any(order.folder.exists() for order in orders)


def test_freeing_memory_ends_the_engine(shop):
    shop.add("a")
    shop.until(lambda: shop.queue.arrived)
    pid = shop.queue.keeper.engine.process.pid
    shop.queue.keeper.release()
    shop.until(shop.queue.keeper.reap)
    assert gone(pid) and not shop.texts()


def test_leaving_ends_all_but_clips_that_are_there(shop):
    done = shop.add("a")
    shop.until(lambda: shop.queue.arrived)
    running, waiting = shop.add("wait"), shop.add("b")
    shop.until(lambda: shop.queue.running is running)
    pid = shop.queue.keeper.engine.process.pid
    shop.queue.leave(1)
    assert gone(pid) and done.folder.exists()
    assert not running.folder.exists() and not waiting.folder.exists()


def test_a_clip_that_is_made_comes_as_it_is_where_its_finishing_fails_or_is_cancelled(shop):
    made, lost, cancelled, again = (shop.add(name) for name in ("broken", "die", "wait", "also wait"))
    for order in (made, lost):
        (order.folder / "clip.json").write_text("{}")
    shop.until(lambda: shop.queue.running is cancelled)
    cancelled.apply(Phase("finish"))
    shop.queue.cancel(cancelled)
    shop.until(lambda: shop.queue.running is again)
    again.apply(Phase("finish"))
    for _ in range(2):  # the second time the engine is not waited for
        shop.queue.cancel(again)
    assert shop.queue.arrived == [made, lost, cancelled, again] and not shop.queue.outcomes
    assert all(order.folder.exists() and order.clip.clip.name == "clip.mp4" for order in shop.queue.arrived)
    assert cancelled.unfinished == again.unfinished == "Its finishing was cancelled."


def test_a_fault_of_the_engines_names_its_log(shop):
    shop.add("broken")
    shop.until(lambda: not shop.queue.busy)
    assert shop.texts() == [f'Report it with the log: "{shop.queue.keeper.engine.log}".']
