# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in planner: what it reads it plans as it is said; what it does not read it refuses with its
words."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from planning.predicates import failing

from peekaboo_engine.errors import EngineError
from peekaboo_engine.planning.checks import check, check_shot
from peekaboo_engine.planning.edits import edit_plan
from peekaboo_engine.planning.plan import Plan
from peekaboo_engine.planning.planner import plan_text

HERE = Path(__file__).parent
SENTENCES = json.loads((HERE / "sentences.json").read_text("utf-8"))
REFUSED = json.loads((HERE / "refused.json").read_text("utf-8"))
BALL = "a red ball rolls from left to right behind a blue cube, camera slowly moves in"


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda sentence: sentence["text"])
def test_a_sentence_of_the_grammar_holds(sentence):
    plan = plan_text(sentence["text"])
    assert not failing(plan, sentence["holds"])
    assert not check(plan)
    assert all(3 <= len(subject.keys) <= 12 for shot in plan.shots for subject in shot.subjects)


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused["text"])
def test_what_is_not_understood_is_refused_with_its_words(refused):
    with pytest.raises(EngineError) as raised:
        plan_text(refused["text"])
    assert raised.value.code in {"not_understood", "nothing_said"}
    assert refused["words"].strip("@") in raised.value.message or refused["words"].startswith("@")


@given(st.text(max_size=200))
@example("²0A")  # a digit that is no number
@settings(max_examples=300)
def test_any_text_is_a_plan_or_one_sentence(text):
    try:
        plan_text(text)
    except EngineError as error:
        assert "\n" not in error.message


def test_who_is_put_by_two_others_is_refused():
    before = plan_text("a red ball on the left, a blue cube in the middle, a green cone on the right")
    with pytest.raises(EngineError, match="in front of the cube next to the cone"):
        edit_plan(before, "put the ball in front of the cube next to the cone")


WORDS = sorted({word for sentence in SENTENCES for word in sentence["text"].split()})


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join))
@settings(max_examples=500)
def test_words_of_the_grammar_in_any_order_are_a_plan_or_one_sentence(text):
    try:
        plan = plan_text(text)
    except EngineError as error:
        assert "\n" not in error.message
    else:
        for shot in plan.shots:
            for subject in shot.subjects:
                assert subject.phrase.lower() in shot.prompt.lower()
                assert np.isfinite(subject.boxes(np.linspace(0, 1, 9))).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing to plan"),
        ("ball " * 3000, "shorten"),
        ("twelve cubes and two balls", "at most 12 subjects"),
        (" cut to: ".join(["a ball"] * 12), "shots"),
    ],
)
def test_texts_beyond_limits(text, words):
    with pytest.raises(EngineError, match=words):
        plan_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "ein roter Ball rollt von links nach rechts",
        "une balle rouge roule de gauche à droite",
        "una pelota roja rueda hacia la derecha",
        "красный мяч катится вправо",
        "红球从左滚到右",
        "ひとつの赤いボールが右へ転がる",
    ],
)
def test_that_it_reads_english_is_said_to_other_languages(text):
    with pytest.raises(EngineError, match="reads plain English and does not understand"):
        plan_text(text)


def test_round_things_are_round_in_any_picture():
    for aspect in (16 / 9, 1.0, 9 / 16):
        key = plan_text("a ball", aspect).shots[0].subjects[0].keys[0]
        assert key.width * aspect == pytest.approx(key.height)


# --- changes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "whom", "holds"),
    [
        ("make the ball wait until the middle", "red ball", ["waits", "ball", 0, 0.5]),
        ("let the ball roll from right to left", "red ball", ["moves", "ball", "left"]),
        ("make the cube jump", "blue cube", ["returns", "cube"]),
        ("the cube grows", "blue cube", ["grows", "cube"]),
        ("move the cube to the left", "blue cube", ["at", "cube", "left", 0]),
        ("put the ball in front of the cube", "red ball", ["behind", "cube", "ball"]),
        ("make the ball faster", "red ball", ["waits", "ball", 0.65, 1]),
    ],
)
def test_a_change_of_one_subject_keeps_the_rest(change, whom, holds):
    before = plan_text(BALL)
    after = edit_plan(before, change)
    assert not failing(after, [holds])
    other = "blue cube" if whom == "red ball" else "red ball"
    assert after.shots[0].subject(other) == before.shots[0].subject(other)
    assert after.shots[0].camera == before.shots[0].camera
    assert after.shots[0].prompt == before.shots[0].prompt
    assert after.shots[0].subject(whom) != before.shots[0].subject(whom)


def test_sizes_of_all_keys_change():
    before = plan_text(BALL)
    after = edit_plan(before, "make the cube bigger")
    for old, new in zip(
        before.shots[0].subject("blue cube").keys, after.shots[0].subject("blue cube").keys, strict=True
    ):
        assert new.height == pytest.approx(1.4 * old.height)


def test_subjects_come_and_go():
    plan = edit_plan(plan_text(BALL), "add a green cone on the right")
    assert [subject.phrase for subject in plan.shots[0].subjects] == ["red ball", "blue cube", "green cone"]
    assert "green cone" in plan.shots[0].prompt
    assert not check(plan)
    plan = edit_plan(plan, "remove the cube")
    assert [subject.id for subject in plan.shots[0].subjects] == ["red ball", "green cone"]


def test_who_comes_moves_nobody_aside():
    before = plan_text("a red cylinder rolls right, a blue ball stays on the left")
    after = edit_plan(before, "add a green cube on the left")
    kept = {subject.id: subject for subject in after.shots[0].subjects}
    assert all(kept[subject.id] == subject for subject in before.shots[0].subjects)
    assert len(kept) == 3


def test_the_camera_alone_changes():
    before = plan_text(BALL)
    after = edit_plan(before, "the camera pans left")
    assert after.shots[0].camera.move == "pan left"
    assert after.shots[0].subjects == before.shots[0].subjects


def test_a_change_in_the_second_shot():
    before = plan_text("Shot 1: a red ball rolls right. Shot 2: a blue cube falls.")
    after = edit_plan(before, "make the cube smaller")
    assert after.shots[0] == before.shots[0]
    assert after.shots[1] != before.shots[1]


def test_a_change_of_the_second_shot_that_is_not_understood_says_its_words():
    before = plan_text("Shot 1: a red ball rolls right. Shot 2: a blue cube falls.")
    with pytest.raises(EngineError, match="Paris"):
        edit_plan(before, "let the cube roll, Paris")
    with pytest.raises(EngineError, match="the dog"):
        edit_plan(before, "make the dog run")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("make the dog run", '"the dog"'),
        ("remove the dragon", '"red ball", "blue cube"'),
        ("make the cube sparkle loudly twice", "twice"),
        ("make", "noun"),
        ("move the cube to Paris tomorrow", "tomorrow"),
    ],
)
def test_changes_that_cannot_be(change, words):
    with pytest.raises(EngineError) as raised:
        edit_plan(plan_text(BALL), change)
    assert words in raised.value.message


# --- the check --------------------------------------------------------------------------------------------


def spoiled(text, **values):
    data = plan_text(text).model_dump()
    for name, value in values.items():
        for key in data["shots"][0]["subjects"][0]["keys"]:
            key[name] = value(key)
    return Plan.model_validate(data)


MOVES = "a red ball rolls from left to right and a blue cube waits at the top"


@pytest.mark.parametrize(
    ("code", "text", "change"),
    [
        ("outside", MOVES, {"y": lambda key: 1.9}),
        ("outside", MOVES, {"y": lambda key: 1.9 if key["time"] == 0.5 else 0.6}),
        ("direction", MOVES, {"x": lambda key: 1 - key["x"]}),
        ("size", MOVES, {"width": lambda key: 0.01}),
        ("size", MOVES, {"height": lambda key: 0.05 + key["time"] * 0.6}),
        ("jump", "a ball bounces to the right", {"x": lambda key: float(key["time"] % 0.5 > 0) * 1.9 - 0.5}),
        ("overlap", "a red ball and a blue cube", {"x": lambda key: 0.75}),
    ],
)
def test_the_check_names_what_is_wrong(code, text, change):
    found = check(spoiled(text, **change))
    assert code in {finding.code for finding in found}
    assert all(finding.message.endswith(".") for finding in found)


def test_the_check_misses_nobody():
    plan = plan_text("two red balls and a blue cube")
    shot = plan.shots[0]
    assert not check_shot(shot)
    without = shot.model_copy(update={"subjects": shot.subjects[1:]})
    assert {finding.code for finding in check_shot(without)} == {"missing"}
    other = shot.model_copy(update={"prompt": "a green cone"})
    assert "phrase" in {finding.code for finding in check_shot(other)}


def test_a_corner_that_somebody_enters_from_or_leaves_at_is_a_height_too():
    plan = plan_text("a ball enters from the top left corner and exits at the bottom right")
    first, *_, last = plan.shots[0].subjects[0].keys
    assert first.x < 0 and first.y < 0.3 and last.x > 1 and last.y > 0.7
