# SPDX-License-Identifier: GPL-3.0-or-later
"""How window tests start Blender, on a program that says what an X server makes of some starts."""

import pytest
import window
from house.installed import Profile

SCRIPT = """#!/bin/sh
for out; do :; done
echo started >> "{starts}"
if [ "$(wc -l < "{starts}")" -lt {good} ]; then echo "X Error of failed request: {error}"; exit 1; fi
touch "$out/{begun}"
echo '{{"played": true}}' > "$out/facts.json"
"""


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Play with a program whose first starts fail: a function of its error and the first good start."""

    def start(error, good):
        program, starts = tmp_path / "program", tmp_path / "starts"
        program.write_text(SCRIPT.format(starts=starts, good=good, error=error, begun=window.BEGUN))
        program.chmod(0o755)
        monkeypatch.setenv("BLENDER", str(program))
        played = window.Play(Profile(tmp_path / "profile"), ":0", "any", tmp_path / "out")
        return played, len(starts.read_text().splitlines())

    return start


def test_a_window_that_was_refused_its_context_is_started_again(play):
    played, starts = play(window.REFUSED, good=2)
    assert starts == 2 and played.facts(10) == {"played": True}


@pytest.mark.parametrize(
    ("error", "starts"), [(window.REFUSED, window.STARTS), ("BadWindow", 1)], ids=["always", "other"]
)
def test_what_starting_again_does_not_help_fails(play, error, starts):
    played, started = play(error, good=99)
    assert started == starts
    with pytest.raises(AssertionError, match="the scenario ended with 1"):
        played.facts(10)
