# SPDX-License-Identifier: GPL-3.0-or-later
"""The stated limits: one table, which the add-on is held to as well."""

import json
from pathlib import Path

import pytest

from peekaboo_engine import limits
from peekaboo_engine.errors import EngineError, shown
from peekaboo_engine.events import Terminal
from peekaboo_engine.job import load_job
from peekaboo_engine.worker import reporting

TABLE = json.loads((Path(__file__).parents[1] / "limits.json").read_text(encoding="utf-8"))


def value_of(stated):
    return "x" * stated["text"] if isinstance(stated, dict) else stated


def with_text(folder: Path, field: str, text: str) -> None:
    """Write JSON text into the place of a field of a job."""
    path = folder / "job.json"
    job = json.loads(path.read_text())
    *way, last = (int(part) if part.isdecimal() else part for part in field.split("."))
    inner = job
    for part in way:
        inner = inner[part]
    inner[last] = "HERE"
    path.write_text(json.dumps(job).replace('"HERE"', text))


def test_the_numbers_are_those_of_the_table():
    assert {name: getattr(limits, name) for name in TABLE["numbers"]} == TABLE["numbers"]


@pytest.mark.parametrize(("field", "stated"), TABLE["good"])
def test_the_most_that_is_allowed_is_taken(make_job, field, stated):
    folder = make_job()
    with_text(folder, field, json.dumps(value_of(stated)))
    load_job(folder)


@pytest.mark.parametrize(("field", "stated"), TABLE["bad"])
def test_more_is_refused_by_name(make_job, field, stated):
    folder = make_job()
    with_text(folder, field, json.dumps(value_of(stated)))
    with pytest.raises(EngineError) as caught:
        load_job(folder)
    assert caught.value.code == "bad_job"
    assert field.split(".")[0] in caught.value.message
    assert len(caught.value.message) < 2 * limits.MAX_MESSAGE


@pytest.mark.parametrize(("field", "text"), TABLE["bad_text"])
def test_what_is_no_number_or_no_text_is_refused(make_job, field, text):
    folder = make_job()
    with_text(folder, field, text)
    with pytest.raises(EngineError) as caught:
        load_job(folder)
    assert caught.value.code == "bad_job"


def test_the_volume_is_limited_as_a_whole(make_job):
    folder, most = make_job(), limits.MAX_SIDE
    with_text(folder, "width", str(most))
    with_text(folder, "height", str(most))
    with_text(folder, "num_frames", "65")
    with_text(folder, "timing.scene_frames", json.dumps([1.0] * 65))
    with pytest.raises(EngineError, match="num_frames x height x width"):
        load_job(folder)


@pytest.mark.parametrize(("raw", "safe"), TABLE["shown"])
def test_text_of_others_cannot_steer_a_terminal(raw, safe):
    assert shown(raw) == safe
    assert shown(safe) == safe
    assert EngineError("code", raw).message == safe


def test_a_long_sentence_keeps_its_end_which_says_what_to_do():
    text = shown(f"The prompt {'x' * 10**6} is too long; write less.")
    assert len(text) < 2 * limits.MAX_MESSAGE
    assert text.startswith("The prompt") and text.endswith("write less.")


def test_a_log_keeps_its_lines():
    assert shown("one\n\ttwo\x1b[2J", lines=True) == "one\n\ttwo\\x1b[2J"


def test_a_person_at_a_terminal_sees_escapes_and_no_markup(capsys):
    terminal = Terminal()
    terminal.notice("\x1b]0;title\x07 [red]bold[/red]")
    terminal.error("code", "\x9b31m\u202e")
    terminal.result(Path("[b]\x1b[2J.mp4"), Path("info"), 1.0, None)
    seen = "".join(capsys.readouterr())
    assert not {"\x1b", "\x9b", "\x07", "\u202e"} & set(seen)
    assert "\\x1b]0;title\\x07 [red]bold[/red]" in seen
    assert "[b]\\x1b[2J.mp4 in 1.0 s" in seen


def test_a_failure_of_ours_keeps_its_traceback_in_the_log_but_steers_no_terminal(capsys, caplog):
    def fail():
        raise RuntimeError("\x1b[31mred")

    assert not reporting(Terminal(), fail)
    seen = "".join(capsys.readouterr()) + caplog.text
    assert "Traceback" in seen and "\\x1b[31mred" in seen and "\x1b" not in seen
