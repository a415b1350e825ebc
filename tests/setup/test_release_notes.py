# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release says of itself."""

import build_extension
import pytest
import release
from house.environments import CommandError

CHANGES = (
    "# Changes\n\n## 0.2.0 (unreleased)\n\n- New.\n\n### Fixed\n\n- Old.\n\n## 0.1.0 (2026-02-28)\n\nFirst.\n"
)


def test_the_notes_are_the_releases_part_of_the_changelog():
    assert release.notes(CHANGES, "0.1.0") == "# Peekaboo 0.1.0 (2026-02-28)\n\nFirst.\n"
    draft = release.notes(CHANGES, "0.2.0", draft=True)
    assert draft == "# Peekaboo 0.2.0 (unreleased)\n\n- New.\n\n### Fixed\n\n- Old.\n"


def test_a_release_needs_a_date_and_something_to_say():
    with pytest.raises(CommandError, match=r'calls 0\.2\.0 "unreleased": put the date there'):
        release.notes(CHANGES, "0.2.0")
    with pytest.raises(CommandError, match=r"says nothing of 0\.3\.0: write what users will notice"):
        release.notes(CHANGES, "0.3.0")


def test_the_changelog_tells_of_the_version_that_is_stated():
    assert release.notes(release.CHANGELOG.read_text("utf-8"), build_extension.version(), draft=True)
