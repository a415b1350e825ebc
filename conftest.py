# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells who starts pytest by hand what to run: the tests need two Pythons, so no single run has them all."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
WHAT_TO_RUN = (
    "the tests run in two environments, so name a file of one of them as CONTRIBUTING.md shows, or run "
    "./scripts/test --fast (under four minutes) or ./scripts/test (everything)."
)

if importlib.util.find_spec("hypothesis") is None:
    sys.exit(f"error: {sys.executable} has no hypothesis: {WHAT_TO_RUN}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the tests themselves; here, because only the first conftest may add any."""
    parser.addoption(
        "--write-goldens",
        action="store_true",
        help="write tests/goldens anew, where the engine and the add-on agree about their border",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a run over both environments, such as a bare ``pytest``, in one sentence."""
    for argument in config.args:
        if Path(argument.split("::", 1)[0]).resolve() in {ROOT, ROOT / "tests"}:
            raise pytest.UsageError(WHAT_TO_RUN)
