# SPDX-License-Identifier: GPL-3.0-or-later
"""Adding up suites: real pytest runs over small test files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from house.environments import ENGINE, ROOT
from house.suites import SUITES, Suite, Tally, choose, in_turns, read_tally, run, run_side_by_side

MIXED = """
import pytest
def test_good(): pass
@pytest.mark.parametrize("n", range(3))
def test_many(n): pass
def test_bad(): assert False
@pytest.mark.skip(reason="not here")
def test_later(): pass
@pytest.fixture
def broken(): raise OSError
def test_error(broken): pass
"""


def tally_of(folder: Path, text: str, *arguments: str) -> Tally:
    # A suite in a folder of its own, so that neither the project's conftest nor its tests take part.
    path = folder / "test_small.py"
    path.write_text(text)
    return run(
        Suite("small", folder, ENGINE), Path(sys.executable), [str(folder), *arguments], dict(os.environ)
    )


def test_results_are_counted(tmp_path):
    tally = tally_of(tmp_path, MIXED)
    assert tally == Tally(passed=4, failed=2, skipped=1)
    assert str(tally) == "4 passed, 2 failed, 1 skipped"
    assert tally.exit_code == 1


def test_arguments_reach_pytest(tmp_path):
    assert tally_of(tmp_path, MIXED, "-k", "many") == Tally(passed=3)


def test_a_suite_in_which_nothing_matches_is_no_failure_if_another_ran(tmp_path):
    nothing = tally_of(tmp_path, MIXED, "-k", "absent")
    assert nothing == Tally()
    assert nothing.exit_code == 5
    assert (nothing + Tally(passed=2)).exit_code == 0


def test_only_skipped_tests_are_not_a_pass():
    assert Tally(skipped=3).exit_code == 5


@pytest.mark.parametrize("text", ["def test_(: pass", "import a_module_that_is_not_there"])
def test_a_file_that_cannot_be_collected_is_a_failure(tmp_path, text):
    tally = tally_of(tmp_path, text)
    assert (tally + Tally(passed=5)).exit_code == 1


def test_a_run_that_dies_or_is_refused_is_a_failure(tmp_path):
    assert tally_of(tmp_path, "import os\ndef test_dies(): os._exit(0)") == Tally(failed=1)
    assert tally_of(tmp_path, MIXED, "--no-such-option") == Tally(failed=1)
    assert (Tally(failed=1) + Tally(passed=5)).exit_code == 1


def test_a_report_cut_short_is_a_failure(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text("<testsuites><testsuite tests='3'")
    assert read_tally(report, 0) == Tally(failed=1)


def test_a_path_selects_its_suite(monkeypatch):
    monkeypatch.chdir(ROOT)
    [(suite, arguments)] = choose(["-x", f"{Path('tests', 'engine')}::test_a", "-k", "pooling"])
    assert suite.title == "engine"
    assert arguments == [f"{Path('tests', 'engine')}::test_a", "-x", "-k", "pooling"]
    assert [suite for suite, _ in choose(["tests"])] == list(SUITES)
    assert [arguments[0] for _, arguments in choose(["-k", "setup"])] == [str(s.folder) for s in SUITES]


def test_fast_leaves_out_the_program_and_slow_tests(tmp_path):
    chosen = choose(["--fast", "-x"])
    assert [suite.title for suite, _ in chosen] == ["engine", "add-on", "set-up"]
    assert all(arguments[-3:] == ["-m", "not slow", "-x"] for _, arguments in chosen)
    assert choose(["--fast", str(ROOT / "tests" / "blender")]) == []
    marked = "import pytest\ndef test_quick(): pass\n@pytest.mark.slow\ndef test_long(): assert False\n"
    assert tally_of(tmp_path, marked, "-m", "not slow") == Tally(passed=1)


def test_suites_beside_each_other_are_counted_and_printed_whole(tmp_path, capfd):
    chosen = []
    for name in ("one", "two", "three"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"test_{name}.py").write_text(
            f"def test_good(): pass\ndef test_bad(): assert {name!r} == 0\n"
        )
        chosen.append((Suite(name, folder, ENGINE), [str(folder)]))
    tally = run_side_by_side(chosen, {ENGINE: Path(sys.executable)}, dict(os.environ))
    assert tally == Tally(passed=3, failed=3)
    parts = capfd.readouterr().out.split("\n--- ")
    assert parts[0].startswith("Running one, two, three tests side by side.")
    assert {part.partition(" ")[0] for part in parts[1:]} == {"one", "two", "three"}
    assert all(part.count("1 failed, 1 passed") == 1 for part in parts[1:])


def test_windows_come_alone_behind_suites_beside_each_other():
    chosen = [(suite, []) for suite in SUITES]
    beside, alone = in_turns(chosen)
    assert [suite.title for suite, _ in beside] == ["engine", "add-on", "program", "set-up"]
    assert [suite.title for suite, _ in alone] == ["window"]
    assert in_turns(chosen[2:3]) == ([], chosen[2:3])  # one alone prints as it goes


def test_a_folder_of_two_suites_is_shared_out_by_a_mark(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    folder = str(Path("tests", "blender"))
    assert [(suite.title, arguments) for suite, arguments in choose([folder, "-x"])] == [
        ("program", [folder, "-m", "not window", "-x"]),
        ("window", [folder, "-m", "window", "-x"]),
    ]


def test_a_mark_that_is_not_declared_is_refused(tmp_path):
    assert tally_of(tmp_path, "import pytest\n@pytest.mark.slwo\ndef test_a(): pass\n").failed


@pytest.mark.parametrize("arguments", [[], ["tests"], ["."], ["-k", "anything"]])
def test_pytest_by_itself_says_in_one_sentence_what_to_run(arguments):
    command = [sys.executable, "-m", "pytest", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 4
    (sentence,) = run.stderr.strip().splitlines()
    assert "./scripts/test --fast" in sentence
