# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests run in which environment, and how their results add up. Standard library only."""

from __future__ import annotations

import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from house.environments import ENGINE, HOST, ROOT, Environment

FAST = "--fast"

# pytest's exit codes that are no failure of a suite: all passed, and no test selected (-k may mean another
# one).
_PASSED, _NO_TESTS = 0, 5


@dataclass(frozen=True)
class Suite:
    """Tests of one folder, all of which run in one environment.

    Attributes:
        title: name for people.
        folder: of the tests.
        environment: that they run in.
        fast: whether ``--fast`` has them, too.
        marks: expression of pytest's marks, where the suite has a part of the folder.
        alone: whether it wants the processors for itself.
    """

    title: str
    folder: Path
    environment: Environment
    fast: bool = True
    marks: str = ""
    alone: bool = False


# The longest come first, so that two at a time are done soonest.
SUITES = (
    Suite("engine", ROOT / "tests" / "engine", ENGINE),
    Suite("add-on", ROOT / "tests" / "addon", HOST),
    # These start Blender as a program, so they need no module.
    Suite("program", ROOT / "tests" / "blender", ENGINE, fast=False, marks="not window"),
    Suite("set-up", ROOT / "tests" / "setup", ENGINE),
    Suite("window", ROOT / "tests" / "blender", ENGINE, fast=False, marks="window", alone=True),
)


@dataclass(frozen=True)
class Tally:
    """Numbers of tests."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Add up two suites."""
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        """The plain closing line that CI systems read."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    @property
    def exit_code(self) -> int:
        """0 if tests ran and none failed, 1 if something failed, 5 (as pytest) if no test ran."""
        if self.failed:
            return 1
        return 0 if self.passed else _NO_TESTS


def read_tally(report: Path, exit_code: int) -> Tally:
    """Count the tests in pytest's JUnit XML report, given the exit code of that pytest.

    Errors in a fixture or in collecting a file count as failed. So does, once, whatever else keeps a suite
    from its end: a crash that leaves no report, or a bad exit code that no failure in the report explains.
    """
    tally = Tally()
    try:
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            tally += _tally_of(suite)
    except (OSError, ElementTree.ParseError):
        return Tally(failed=int(exit_code != _NO_TESTS))
    unexplained = exit_code not in (_PASSED, _NO_TESTS) and not tally.failed
    return tally + Tally(failed=int(unexplained))


def _tally_of(suite: ElementTree.Element) -> Tally:
    tests, failures, errors, skipped = (
        int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")
    )
    return Tally(tests - failures - errors - skipped, failures + errors, skipped)


def choose(arguments: list[str], suites: Iterable[Suite] = SUITES) -> list[tuple[Suite, list[str]]]:
    """Pair each suite that is to run with its pytest arguments.

    A path below a suite's folder, such as tests/engine/test_labels.py::test_pooling, selects that suite;
    with no such path all suites run whole. ``--fast`` leaves out suites that are not fast, and tests that are
    marked slow. All other arguments go to each of them.
    """
    suites = list(suites)
    arguments = list(arguments)
    fast = FAST in arguments
    if fast:
        arguments = ["-m", "not slow", *(argument for argument in arguments if argument != FAST)]
    targets: dict[Suite, list[str]] = {}
    others = []
    for argument in arguments:
        path = Path(argument.split("::", 1)[0])
        covered = [] if argument.startswith("-") or not path.exists() else _suites_of(path.resolve(), suites)
        for suite in covered:
            # A folder above several suites stands for each of them whole.
            within = path.resolve().is_relative_to(suite.folder)
            targets.setdefault(suite, []).append(argument if within else str(suite.folder))
        if not covered:
            others.append(argument)
    chosen = targets or {suite: [str(suite.folder)] for suite in suites}
    wanted = [suite for suite in suites if suite in chosen and (suite.fast or not fast)]
    parts = {suite: ["-m", suite.marks] if suite.marks else [] for suite in wanted}
    return [(suite, [*chosen[suite], *parts[suite], *others]) for suite in wanted]


def in_turns(
    chosen: list[tuple[Suite, list[str]]],
) -> tuple[list[tuple[Suite, list[str]]], list[tuple[Suite, list[str]]]]:
    """Which of the chosen suites run side by side, and which one after the other behind them.

    A window wants the processors for itself; and what runs alone prints as it goes.
    """
    beside = [each for each in chosen if not each[0].alone]
    if len(beside) < 2:
        return [], chosen
    return beside, [each for each in chosen if each[0].alone]


def _suites_of(path: Path, suites: list[Suite]) -> list[Suite]:
    return [s for s in suites if path.is_relative_to(s.folder) or s.folder.is_relative_to(path)]


def run(
    suite: Suite, python: Path, arguments: list[str], variables: dict[str, str], at_once: bool = False
) -> Tally:
    """Run one suite's tests with pytest, which prints as usual, and count them.

    `python` is the interpreter of the suite's environment, `variables` the whole environment of the process.
    With `at_once` all is printed when the suite is done, so that others can run beside it.
    """
    title = f"\n--- {suite.title} tests ---"
    if not at_once:
        print(title, flush=True)
    with tempfile.TemporaryDirectory(prefix="peekaboo-test-") as folder:
        report = Path(folder) / "report.xml"
        # -c and --rootdir, so that a target in another folder cannot bring a configuration of its own.
        command = [str(python), "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
        finished = subprocess.run(
            [*command, f"--junitxml={report}", *arguments],
            env=variables,
            stdout=subprocess.PIPE if at_once else None,
            stderr=subprocess.STDOUT if at_once else None,
            text=True,
            errors="replace",
        )
        if at_once:
            print(f"{title}\n{finished.stdout}", flush=True)
        return read_tally(report, finished.returncode)


def run_side_by_side(
    chosen: list[tuple[Suite, list[str]]], pythons: dict[Environment, Path], variables: dict[str, str]
) -> Tally:
    """Run suites two at a time, each on one processor, and count their tests.

    What these tests compute is too small to gain from a second thread, and threads that wait for each other
    would take the processors from the other suite.
    """
    single = {**variables, "OMP_NUM_THREADS": "1"}
    print(f"Running {', '.join(suite.title for suite, _ in chosen)} tests side by side.", flush=True)
    with ThreadPoolExecutor(max_workers=2) as pool:
        started = [
            pool.submit(run, suite, pythons[suite.environment], arguments, single, at_once=True)
            for suite, arguments in chosen
        ]
        return sum((suite.result() for suite in started), Tally())
