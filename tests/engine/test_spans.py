# SPDX-License-Identifier: GPL-3.0-or-later
import random
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny.unet3d import PROMPT, WORDS, tokenizer
from transformers import T5Tokenizer

from peekaboo_engine.control.spans import NOBODY, SHARED, cut_off, find_phrases, label_tokens
from peekaboo_engine.errors import EngineError
from peekaboo_engine.families import Layout

RANDOM_CASES = 150


def words_of(labels, prompt, label):
    """The words whose tokens carry a label, read back through the offsets."""
    tokens = tokenizer()
    offsets = tokens(prompt, padding="max_length", max_length=77, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    return [prompt[a:b] for (a, b), mine in zip(offsets, labels, strict=True) if mine == label and a < b]


def test_each_subject_gets_its_own_words_and_no_others():
    labels = label_tokens(tokenizer(), PROMPT, ["a red ball", "a blue cube"], "background", 77)
    assert words_of(labels, PROMPT, 1) == ["a", "red", "ball"]
    assert words_of(labels, PROMPT, 2) == ["a", "blue", "cube"]
    assert words_of(labels, PROMPT, 0) == ["and", "on", "grass"]


def test_an_equal_word_elsewhere_is_not_claimed():
    """The released code matches token ids, so that "a red ball" also claims the "a" of "a blue cube"."""
    labels = label_tokens(tokenizer(), PROMPT, ["a red ball"], "background", 77)
    assert words_of(labels, PROMPT, 1) == ["a", "red", "ball"]
    assert words_of(labels, PROMPT, 0).count("a") == 1


def test_words_of_many_tokens_are_labelled_whole():
    prompt = "a zebra on grass"
    labels = label_tokens(tokenizer(), prompt, ["zebra"], "background", 77)
    assert "".join(words_of(labels, prompt, 1)) == "zebra"


@pytest.mark.parametrize(
    ("rule", "start", "end", "padding"),
    [("background", 0, 0, 0), ("released", NOBODY, 0, 0), ("shared", SHARED, SHARED, SHARED)],
)
def test_special_tokens_follow_the_rule(rule, start, end, padding):
    labels = label_tokens(tokenizer(), "a red ball", ["red ball"], rule, 77)
    assert (labels[0], labels[4], labels[-1]) == (start, end, padding)
    assert (labels[1:4] == [0, 1, 1]).all()


@given(st.permutations(WORDS), st.data())
def test_a_phrase_cut_from_a_prompt_is_found_where_it_was(words, data):
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))
    prompt, phrase = " ".join(words), " ".join(words[start:end])
    [[(first, last)]] = find_phrases(prompt, [phrase.upper()])
    assert prompt[first:last] == phrase


SPELLINGS = [
    ("草地上的红色的球", "红色的球", "红色的球"),
    ("草の上の赤いボール", "赤いボール", "赤いボール"),
    ("잔디 위의 빨간 공이 굴러간다", "빨간 공", "빨간 공"),
    (unicodedata.normalize("NFD", "잔디 위의 빨간 공이"), "빨간 공", unicodedata.normalize("NFD", "빨간 공")),
    ("ลูกบอลสีแดงบนหญ้า", "ลูกบอลสีแดง", "ลูกบอลสีแดง"),
    ("ลูก\u200bบอลสีแดง", "ลูกบอล", "ลูก\u200bบอล"),
    ("a red café\u0301 on grass", "a red café\u0301", "a red café\u0301"),
    ("a red café on grass", "a red cafe\u0301", "a red café"),
    ("a red cafe\u0301 on grass", "a red café", "a red cafe\u0301"),
    ("the king’s crown", "the king's crown", "the king’s crown"),
    ("the king's crown", "the king’s crown", "the king's crown"),
    ("a “red” ball", 'a "red" ball', "a “red” ball"),
    ("a red\u00a0ball", "a red ball", "a red\u00a0ball"),
    ("a red\u200bball", "a red ball", "a red\u200bball"),
    ("a red ball", "a red\u200bball", "a red ball"),
    ("a red ball", "\ufeffa red ball\u200b", "a red ball"),
    ("a snow\u00adman", "a snowman", "a snow\u00adman"),
    ("a snow\u2011man", "a snow-man", "a snow\u2011man"),
    ("\uff41 red ball", "a red ball", "\uff41 red ball"),
    ("a red\nball", "a red ball", "a red\nball"),
    ("the \ufb01sh", "fish", "\ufb01sh"),
]
"""Prompt, phrase, and what of the prompt that is."""


@pytest.mark.parametrize(("prompt", "phrase", "meant"), SPELLINGS)
def test_a_phrase_is_found_however_it_is_spelled(prompt, phrase, meant):
    [[(first, last)]] = find_phrases(prompt, [phrase])
    assert prompt[first:last] == meant


def test_a_phrase_that_ends_within_what_is_read_and_comes_again_beyond_is_accepted():
    prompt = "a red ball " + "grass " * 80 + "and a red ball"
    labels = label_tokens(tokenizer(), prompt, ["a red ball"], "background", 77)
    assert np.count_nonzero(labels == 1) == 3


def test_where_a_long_prompt_is_cut_is_known():
    short, long = "a red ball on grass", "a red ball " + "on grass " * 80
    assert cut_off(tokenizer(), short, 77) is None
    count, end = cut_off(tokenizer(), long, 77)
    read = tokenizer()(long[:end])["input_ids"]
    assert len(read) == 77 and count == len(tokenizer()(long)["input_ids"]) > 77
    assert long[:end].split() == long.split()[: len(long[:end].split())]


@pytest.mark.parametrize("side", [None, "left"])
def test_what_a_template_writes_around_a_prompt_is_no_part_of_it(side):
    layout = Layout(before="grass on grass ", behind=" grass", skipped=3, side=side)
    words = "red ball " * 20
    count, end = cut_off(tokenizer(), words, 10, layout)
    assert words[:end] == ("red ball " * 5).strip() and count == 41
    assert cut_off(tokenizer(), "red ball", 10, layout) is None


def cases():
    """Prompts with the phrases of subjects: some that were thought of, and many that were not."""
    yield from (
        ("a red ball and a blue cube on grass", ["a red ball", "a blue cube"]),
        ("A Red  Ball on grass", ["a red\tball"]),
        ("balloons and a ball", ["ball"]),
        ("a ball, the same ball", ["ball"]),
        ("a ball and a ball", ["a ball", "A  Ball"]),
        ("a ball and a ball", ["a ball", "a ball", "a ball"]),
        ("a red ball", ["a red ball", "red ball"]),
        ("a red ball", ["  "]),
        ("a red ball", ["a red ball."]),
        ("a red ball.", ["ball."]),
        ("ein großer Bär", ["GROSSER BÄR"]),
        ("ein großer Bär", ["großer bär"]),
        ("İstanbul at night", ["i̇stanbul"]),
        ("a ball (red) [x]*", ["(red)"]),
        ("rock'n'roll", ["rock"]),
        ("赤いボール", ["赤い"]),
        ("LEGO의 탑과 탑", ["LEGO", "탑"]),
        ("redball and 红球 ball", ["ball", "红"]),
        ("บี", ["บ"]),
        ("KIRMIZI BİR TOP", ["kırmızı bir top"]),
        *((prompt, [phrase]) for prompt, phrase, _ in SPELLINGS),
    )
    choose = random.Random(0)
    for _ in range(RANDOM_CASES):
        prompt = " ".join(choose.choices(["a", "red", "ball", "and"], k=choose.randint(1, 8)))
        words = ["a", "red", "ball", "and", "blue"]
        count = choose.randint(1, 3)
        yield prompt, [" ".join(choose.choices(words, k=choose.randint(0, 3))) for _ in range(count)]


def test_what_phrases_are_found_is_agreed_with_the_addon(agree):
    """The add-on checks phrases before it starts an engine, in a Python that cannot import the engine."""
    table = []
    for prompt, phrases in cases():
        try:
            found = {"found": find_phrases(prompt, phrases)}
        except EngineError as error:
            found = {"refused": error.code}
        table.append({"prompt": prompt, "phrases": phrases, **found})
    agree("phrases", table)
    assert {case.get("refused") for case in table} == {
        None, "empty_phrase", "phrase_not_in_prompt", "phrases_overlap",
    }  # fmt: skip


def test_phrases_are_whole_words():
    assert find_phrases("balloons and a ball", ["ball"]) == [[(15, 19)]]


def test_a_phrase_belongs_to_its_subject_wherever_it_occurs():
    assert find_phrases("a ball, the same ball", ["ball"]) == [[(2, 6), (17, 21)]]


def test_subjects_with_the_same_phrase_take_its_occurrences_in_turn():
    assert find_phrases("a ball and a ball", ["a ball", "A  Ball"]) == [[(0, 6)], [(11, 17)]]


@pytest.mark.parametrize(
    ("phrases", "code", "parts"),
    [
        (["a green ball"], "phrase_not_in_prompt", ['"a green ball"', PROMPT]),
        (
            ["a red ball", "ball and a blue cube"],
            "phrases_overlap",
            ['"a red ball"', '"ball and a blue cube"'],
        ),
        (["a red ball", "a red ball"], "phrases_overlap", ["2 subjects", "1 time"]),
        (["a red ball", "  "], "empty_phrase", ["Subject 2"]),
    ],
)
def test_phrases_that_cannot_work_are_refused_by_name(phrases, code, parts):
    with pytest.raises(EngineError) as caught:
        find_phrases(PROMPT, phrases)
    assert caught.value.code == code
    assert all(part in caught.value.message for part in parts)


def test_a_phrase_beyond_what_the_encoder_reads_is_refused():
    prompt = "grass " * 80 + "and a red ball"
    with pytest.raises(EngineError, match="77 tokens") as caught:
        label_tokens(tokenizer(), prompt, ["a red ball"], "background", 77)
    assert caught.value.code == "phrase_truncated"


def test_subjects_whose_words_are_one_token_are_refused():
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -6.0), ("▁猫狗", -1.0)]
    one_piece = T5Tokenizer(vocab=pieces, extra_ids=0)
    with pytest.raises(EngineError, match='"猫" as one piece') as caught:
        label_tokens(one_piece, "猫狗", ["猫", "狗"], "background", 8)
    assert caught.value.code == "phrases_overlap"


def test_a_tokenizer_without_offsets_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(EngineError, match="fast tokenizer"):
        label_tokens(Slow(), PROMPT, ["a red ball"], "background", 77)


def test_labels_have_the_length_that_the_encoder_reads():
    labels = label_tokens(tokenizer(), PROMPT, ["a red ball"], "background", 77)
    assert labels.shape == (77,)
    assert np.issubdtype(labels.dtype, np.integer)
