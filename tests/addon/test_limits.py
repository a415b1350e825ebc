# SPDX-License-Identifier: GPL-3.0-or-later
"""The stated limits: the one table that the engine is held to as well."""

import json
from pathlib import Path

import pytest

from blender_addon.borders import documents
from blender_addon.engine import job_schema, messages
from blender_addon.errors import PeekabooError, shown

TESTS = Path(__file__).resolve().parents[1]
TABLE = json.loads((TESTS / "limits.json").read_text(encoding="utf-8"))
JOB = json.loads((TESTS / "goldens" / "job_plain.json").read_text(encoding="utf-8"))


def text_with(field, text):
    """The text of a job with JSON text in the place of a field."""
    job = json.loads(json.dumps(JOB))
    *way, last = (int(part) if part.isdecimal() else part for part in field.split("."))
    inner = job
    for part in way:
        inner = inner[part]
    inner[last] = "HERE"
    return json.dumps(job).replace('"HERE"', text)


def stated_as(value):
    return json.dumps("x" * value["text"] if isinstance(value, dict) else value)


def test_the_numbers_are_those_of_the_table():
    numbers = TABLE["numbers"]
    assert (numbers["MAX_VOXELS"], numbers["MAX_RATE"]) == (job_schema.MAX_VOXELS, job_schema.MAX_RATE)
    assert numbers["MAX_CLIP_SIDE"] == job_schema.MAX_CLIP_SIDE
    assert numbers["MAX_FRAME_SECONDS"] == job_schema.MAX_FRAME_SECONDS
    assert numbers["MAX_ARCHIVE_DIRECTORY"] == job_schema.MAX_DIRECTORY
    assert numbers["MAX_PICTURE_BYTES"] == job_schema.MAX_PICTURE
    assert numbers["MAX_ARRAY_HEADER"] == job_schema.MAX_HEADER
    assert (numbers["MAX_JSON_BYTES"], numbers["MAX_JSON_DEPTH"]) == (
        documents.MAX_BYTES,
        documents.MAX_DEPTH,
    )
    assert (numbers["MAX_LINE_BYTES"], numbers["MAX_ID"]) == (messages.MAX_LINE, messages.MAX_ID)
    assert numbers["MAX_PATH"] == messages.MAX_PATH


@pytest.mark.parametrize(("field", "stated"), TABLE["good"])
def test_the_most_that_is_allowed_is_taken(field, stated):
    job_schema.parse(text_with(field, stated_as(stated)))


@pytest.mark.parametrize(("field", "stated"), TABLE["bad"])
def test_more_is_refused_by_name(field, stated):
    with pytest.raises(job_schema.Damaged) as caught:
        job_schema.parse(text_with(field, stated_as(stated)))
    assert field.split(".")[0] in str(caught.value) or "fps" in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("field", "text"), TABLE["bad_text"], ids=str)
def test_what_is_no_number_or_no_text_is_refused(field, text):
    with pytest.raises(job_schema.Damaged):
        job_schema.parse(text_with(field, text))


def test_the_volume_is_limited_as_a_whole():
    assert "num_frames x height x width" in job_schema.size_problem(2048, 2048, 65)
    assert job_schema.size_problem(2048, 2048, 64) is None


@pytest.mark.parametrize(("raw", "safe"), TABLE["shown"])
def test_text_of_others_cannot_steer_a_terminal(raw, safe):
    assert shown(raw) == safe
    assert str(PeekabooError(f'The subject "{raw}" is gone.')) == f'The subject "{safe}" is gone.'
