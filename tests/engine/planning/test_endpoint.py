# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning by a language model: whatever a server answers, there is a right draft or one sentence."""

import json
from copy import deepcopy

import pytest
from planning import language_server as lm

from peekaboo_engine.errors import EngineError
from peekaboo_engine.planning.answers import answer_schema
from peekaboo_engine.planning.checks import check
from peekaboo_engine.planning.endpoint import Endpoint
from peekaboo_engine.planning.language_model import plan_with_model
from peekaboo_engine.planning.plan import rounded
from peekaboo_engine.planning.planner import plan_text

TEXT = "a red ball rolls from left to right behind a blue cube"
KEY = "sk-very-secret-0123456789"
RIGHT = {"reasoning": "...", "shots": plan_text(TEXT).model_dump(mode="json")["shots"]}


def changed(change):
    answer = deepcopy(RIGHT)
    for subject in answer["shots"][0]["subjects"]:
        for key in subject["keys"]:
            change(key)
    return json.dumps(answer)


def plan(url, **options):
    return plan_with_model(TEXT, Endpoint(url, "tiny", KEY, **{"timeout": 5.0, **options}), 16 / 9)


def swap(key):
    key["x"], key["y"] = key["y"], key["x"]


def thousands(key):
    for name in ("x", "y", "width", "height"):
        key[name] = round(key[name] * 1000)


def corners(key):
    x, y, w, h = (key.pop(name) for name in ("x", "y", "width", "height"))
    key["box"] = [y - h / 2, x - w / 2, y + h / 2, x + w / 2]


def endless(key):
    key["x"], key["y"] = -(10**400), 500


OK = b"HTTP/1.1 200 OK\r\n"
WELL = json.dumps(RIGHT)
GOOD = {
    "valid": [lm.says(WELL)],
    "prose around it": [
        lm.says(f"Sure! Here is your layout {{as asked}}:\n```json\n{WELL}\n```\nEnjoy {{it}}.")
    ],
    "thoughts before it": [lm.says(f'<think>maybe {{"shots": []}}?</think>{WELL}')],
    "a stream": [lm.streams(WELL)],
    "one shot without a list": [lm.says(json.dumps(RIGHT["shots"][0]))],
    "numbers of 0 to 1000": [lm.says(changed(thousands))],
    "the schema, then an answer": [lm.says(json.dumps(answer_schema()) + WELL)],
    "the schema, then mended": [lm.says(json.dumps(answer_schema())), lm.says(WELL)],
    "another form, then mended": [lm.says(changed(corners)), lm.says(WELL)],
    "x and y swapped, then mended": [lm.says(changed(swap)), lm.says(WELL)],
    "cut off, then mended": [lm.says(WELL[:200], "length"), lm.says(WELL)],
    "no schemas": [lm.fails(400, "response_format is not supported"), lm.says(WELL)],
    "busy for a moment": [lm.fails(429, "slow down", {"Retry-After": "0"}), lm.says(WELL)],
}


@pytest.mark.parametrize("case", GOOD)
def test_what_can_be_read_becomes_a_right_draft(case):
    with lm.serving(*GOOD[case]) as (server, url):
        made, _ = plan(url)
    assert not check(made)
    red, blue = made.shots[0].subjects
    assert (red.phrase, blue.phrase) == ("red ball", "blue cube")
    assert red.keys[0].x < 0.3 < 0.7 < red.keys[-1].x
    assert all(key.depth > blue.keys[0].depth for key in red.keys)
    assert made.shots[0].prompt == TEXT
    assert len(server.requests) <= 2


BAD = {
    "the schema again": ([lm.says(json.dumps(answer_schema()))], "repeats the JSON schema"),
    "no JSON": ([lm.says("I would rather talk about the weather.")], "no JSON object"),
    "always another form": ([lm.says(changed(corners))], "cannot be used"),
    "always cut off": ([lm.says(WELL[:300], "length")], "cannot be used"),
    "no such words": ([lm.says(WELL.replace('"phrase": "red ball"', '"phrase": "green dog"'))], "green dog"),
    "an error of its own": ([lm.fails(500, f"key {KEY} on fire")], "error 500 (key ... on fire)"),
    "too busy": ([lm.fails(429, "quota", {"Retry-After": "9999"})], "no more requests"),
    "key refused": ([lm.fails(401, "bad key")], "refuses the key"),
    "no such model": ([lm.fails(404, "no model")], 'no model "tiny"'),
    "elsewhere": ([lm.fails(302, "", {"Location": "http://127.0.0.1:9/steal"})], "another address"),
    "too long": ([lm.large(10 * 2**20)], "longer than"),
    "no chat": ([lambda body: (200, {}, [b"<html>hello</html>"])], "does not answer as"),
    "empty": ([lm.says("")], "does not answer as"),
    "no HTTP": ([lm.raw(f"{KEY} is no status line\r\n\r\n".encode())], "does not answer as"),
    "a broken chunk": ([lm.raw(OK, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")], "does not answer as"),
    "many headers": ([lm.raw(OK, *[b"A%d: b\r\n" % i for i in range(200)])], "does not answer as"),
    "an odd stream": ([lm.raw(OK, b'\r\ndata: {"choices": ["x"]}\n')], "does not answer as"),
    "an empty delta": ([lm.raw(OK, b'\r\ndata: {"choices": [{"delta": null}]}\n')], "does not answer as"),
    "busy for so long": ([lm.raw(b"HTTP/1.1 429 Busy\r\nRetry-After: \xb2\r\n\r\n")], "no more requests"),
    "numbers without end": ([lm.says(changed(endless))], "cannot be used"),
    "only thoughts": ([lm.says("<think>" * 200_000)], "no JSON object"),
    "deep": ([lm.says('{"shots":' + "[" * 100_000)], "no JSON object"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_one_sentence_without_the_key(case):
    answers, words = BAD[case]
    with lm.serving(*answers) as (server, url), pytest.raises(EngineError) as raised:
        plan(url)
    assert words in raised.value.message
    assert KEY not in raised.value.message
    assert "\n" not in raised.value.message
    assert len(server.requests) <= 2


def test_what_is_slow_is_given_up():
    with lm.serving(lm.trickles(3)) as (_, url), pytest.raises(EngineError, match="within 0 s") as raised:
        plan(url, timeout=0.3)
    assert raised.value.code == "endpoint_slow"


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 500 Error\r\n\r\n"])
def test_what_comes_byte_by_byte_is_given_up(start):
    answer = lm.raw(start, *[b"a"] * 50, every=0.1)
    with lm.serving(answer) as (_, url), pytest.raises(EngineError) as raised:
        plan(url, timeout=0.3)
    assert raised.value.code == "endpoint_slow"


def test_nobody_answers():
    with lm.serving(lm.says("")) as (_, url):
        pass
    with pytest.raises(EngineError, match="Nothing answers at") as raised:
        plan(url)
    assert raised.value.code == "endpoint_unreachable"


@pytest.mark.parametrize(
    ("url", "online", "words"),
    [
        ("https://8.8.4.4/v1", False, "online access is off"),
        ("http://8.8.8.8/v1", True, "unencrypted"),
        ("ftp://localhost/v1", True, "no address"),
        ("localhost:11434", True, "no address"),
        ("http://user:secret@localhost/v1", True, "no address"),
        ("http://localhost:99999999/v1", True, "no address"),
        ("http://user:secret@localhost:port/v1", True, "no address"),
        ("http://localhost:1/v1?key=secret", True, "Nothing answers"),
        ("http://a..b:1/v1", False, "online access is off"),
        ("https://a..b:1/v1", True, "correct the address"),
        ("https://in valid/v1", True, "correct the address"),
        ("", True, "no address"),
    ],
)
def test_addresses(url, online, words):
    with pytest.raises(EngineError) as raised:
        plan(url, online=online)
    assert words in raised.value.message
    assert "secret" not in raised.value.message


def test_the_key_goes_into_the_header_and_nowhere_else():
    with lm.serving(lm.says(changed(swap)), lm.says(WELL)) as (server, url):
        plan(url)
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers)
    assert KEY not in json.dumps(server.requests)
    assert KEY not in repr(Endpoint(url, "tiny", KEY))


def test_the_second_turn_tells_what_was_wrong():
    with lm.serving(lm.says(changed(swap)), lm.says(WELL)) as (server, url):
        plan(url)
    assert "does not move to the right" in server.requests[1]["messages"][-1]["content"]
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == answer_schema()


def test_a_change_sends_what_is_there_and_what_is_to_change():
    before = plan_text(TEXT)
    with lm.serving(lm.says(WELL)) as (server, url):
        plan_with_model("let the ball be bigger", Endpoint(url, "tiny"), 16 / 9, before)
    asked = server.requests[0]["messages"][-1]["content"]
    assert '"red ball"' in asked
    assert asked.endswith("The change: let the ball be bigger")


def test_a_change_that_a_model_repeats_with_rounded_numbers_touches_nobody_else():
    before = plan_text("a red ball rolls from left to right and a blue cube waits at the top")
    answer = {"reasoning": "", "shots": rounded(before.model_dump(mode="json")["shots"], 3)}
    ball, cube = answer["shots"][0]["subjects"]
    for key in ball["keys"]:
        key["y"] = 0.8
    assert cube["keys"] != before.model_dump()["shots"][0]["subjects"][1]["keys"]
    with lm.serving(lm.says(json.dumps(answer))) as (_, url):
        made, _ = plan_with_model("let the ball be lower", Endpoint(url, "tiny"), 16 / 9, before)
    assert made.shots[0].subject("blue cube") == before.shots[0].subject("blue cube")
    assert made.shots[0].subject("red ball").keys[0].y == 0.8


def test_the_schema_has_no_references_and_requires_everything():
    def walk(schema):
        assert "$ref" not in schema
        if "properties" in schema:
            assert schema["required"] == list(schema["properties"])
            assert schema["additionalProperties"] is False
        for inner in [
            *schema.get("properties", {}).values(),
            *([schema["items"]] if "items" in schema else []),
        ]:
            walk(inner)

    walk(answer_schema())
    assert next(iter(answer_schema()["properties"])) == "reasoning"
