# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on refuses what the engine refuses: its schema is that of the engine's class."""

from house import job_schema


def test_the_schema_is_that_of_the_engines_class():
    how = "a job has changed: run python scripts/house/job_schema.py"
    assert job_schema.FILE.read_text("utf-8") == job_schema.text(), how
