# SPDX-License-Identifier: GPL-3.0-or-later
"""Making an environment: what counts as done, what is started over, and what a person is told."""

import ensurepip
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import wheels
from house import environments
from house.environments import STAMP, UNFINISHED, CommandError, Environment
from house.missing_libraries import DEBIAN_PACKAGES, explain_import_failure
from house.pip_run import StatusLine, classify_failure, describe_line

NO_HASH = f"--hash=sha256:{'0' * 64}"
NOTHING_NEW = f"pip=={ensurepip.version()} {NO_HASH}\n"
"""Names what every new environment has: nothing is downloaded."""


@pytest.fixture
def small(tmp_path, monkeypatch) -> Environment:
    """A real virtual environment with no package in it, made as the project's own are."""
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path / "requirements")
    monkeypatch.setattr(environments, "LOCKED", tmp_path / "requirements" / "locked")
    environments.LOCKED.mkdir(parents=True)
    want("# nothing yet\n")
    return Environment("small", tmp_path / "place" / ".venv-small", "small", module="pip", gigabytes=0.01)


def want(lock: str) -> None:
    """Write the requirement file and the lock that is made of it."""
    wanted = environments.REQUIREMENTS / "small.txt"
    wanted.write_text(f"of=={hash(lock)}\n")
    (environments.LOCKED / "small.txt").write_text(environments.made_from(wanted) + lock)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index of this machine; pip knows no other."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    server = wheels.Server(tmp_path / "wheels")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", server.index)
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    yield server
    server.close()


def installed(environment: Environment) -> set[str]:
    code = "import importlib.metadata as m; print(*(d.metadata['Name'] for d in m.distributions()))"
    run = subprocess.run([environment.python, "-I", "-c", code], capture_output=True, text=True)
    return set(run.stdout.split())


def made_at(environment: Environment) -> float:
    return (environment.folder / "pyvenv.cfg").stat().st_mtime_ns


def one_sentence(text: str) -> bool:
    return "\n" not in text and text.endswith(".") and "Traceback" not in text


@pytest.mark.slow
def test_an_environment_is_made_once_and_then_left_alone(small):
    small.folder.parent.mkdir()
    python = environments.ensure(small)
    assert subprocess.run([python, "-c", "import sys; assert sys.prefix != sys.base_prefix"]).returncode == 0
    first = made_at(small), (small.folder / STAMP).stat().st_mtime_ns
    assert environments.ensure(small) == python
    assert (made_at(small), (small.folder / STAMP).stat().st_mtime_ns) == first

    want(NOTHING_NEW)
    environments.ensure(small)
    assert made_at(small) == first[0], "a changed requirement is installed into the environment that is there"
    stamp = json.loads((small.folder / STAMP).read_text())
    assert stamp["requirements"] == {
        "small": environments.requirement_digest(environments.LOCKED / "small.txt")
    }

    (small.folder / UNFINISHED).touch()
    (small.folder / "half-installed").touch()
    environments.ensure(small)
    assert not (small.folder / "half-installed").exists(), "an interrupted install is started over"
    assert not (small.folder / UNFINISHED).exists()


@pytest.mark.slow
def test_an_environment_of_another_python_is_made_anew(small):
    small.folder.parent.mkdir()
    environments.ensure(small)
    stamp = json.loads((small.folder / STAMP).read_text())
    (small.folder / STAMP).write_text(json.dumps({**stamp, "interpreter": "cpython-3.99-linux-x86_64"}))
    (small.folder / "of-the-other").touch()
    environments.ensure(small)
    assert not (small.folder / "of-the-other").exists()
    assert environments.read_stamp(small.folder)["interpreter"] == environments.interpreter_tag()


@pytest.mark.slow
def test_a_failed_install_is_one_sentence_that_names_the_log(small):
    small.folder.parent.mkdir()
    environments.ensure(small)
    want(f"nothing @ {Path('missing.whl').absolute().as_uri()} {NO_HASH}\n")
    with pytest.raises(CommandError) as caught:
        environments.ensure(small)
    assert one_sentence(str(caught.value))
    assert str(small.folder / environments.LOG) in str(caught.value)
    assert "missing.whl" in (small.folder / environments.LOG).read_text()


@pytest.mark.slow
def test_a_release_that_does_not_exist_names_the_python_to_use_and_keeps_the_environment(small):
    small.folder.parent.mkdir()
    environments.ensure(small)
    before = made_at(small)
    want(f"--no-index\npip==0.0.0.1 {NO_HASH}\n")
    with pytest.raises(CommandError, match=r"No matching distribution found for pip==0.0.0.1.* Python 3\.11"):
        environments.ensure(small)
    want("# nothing again\n")
    environments.ensure(small)
    assert made_at(small) == before


def test_a_folder_that_cannot_be_written_is_one_sentence(small, tmp_path):
    (tmp_path / "place").write_text("a file where a folder should be")
    with pytest.raises(CommandError) as caught:
        environments.ensure(small)
    assert one_sentence(str(caught.value))


@pytest.mark.slow
def test_two_set_ups_at_once_do_the_work_once(small):
    small.folder.parent.mkdir()
    code = (
        "import sys; from pathlib import Path; from house import environments as e;"
        "e.REQUIREMENTS = Path(sys.argv[1]); e.LOCKED = e.REQUIREMENTS / 'locked';"
        "e.ensure(e.Environment('small', Path(sys.argv[2]), 'small', module='pip', gigabytes=0.01))"
    )
    command = [sys.executable, "-c", code, environments.REQUIREMENTS, small.folder]
    scripts = Path(environments.__file__).parents[1]
    both = [subprocess.Popen(command, cwd=scripts, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("ready: .venv-small" in text for text in said) == 1


def test_the_digest_ignores_comments_and_line_ends_but_not_pins(tmp_path):
    one, two, three = (tmp_path / name for name in ("one.txt", "two.txt", "three.txt"))
    one.write_bytes(b"# why\na==1\n\nb==2 # because\n")
    two.write_bytes(b"a==1\r\nb==2\r\n")
    three.write_bytes(b"a==1\nb==3\n")
    assert environments.requirement_digest(one) == environments.requirement_digest(two)
    assert environments.requirement_digest(one) != environments.requirement_digest(three)


def test_requirements_that_were_edited_since_they_were_locked_are_told(small):
    small.folder.parent.mkdir()
    (environments.REQUIREMENTS / "small.txt").write_text("of==1\nmore==1\n")
    with pytest.raises(
        CommandError, match=r"small\.txt has changed since .*: run python scripts/house/lock\.py\.$"
    ):
        environments.ensure(small)


@pytest.mark.slow
def test_a_file_that_is_not_what_the_lock_names_is_not_installed_nor_kept(small, index, tmp_path):
    small.folder.parent.mkdir()
    apple, pear = (wheels.write(tmp_path / "wheels", name, "1.0") for name in ("apple", "pear"))
    want(wheels.entry(apple) + wheels.entry(pear))
    good = pear.read_bytes()
    wheels.write(tmp_path / "wheels", "pear", "1.0", "raise SystemExit('not what was locked')")
    with pytest.raises(CommandError, match=r"^pear==1\.0 did not arrive .*SHA-256 differs") as caught:
        environments.ensure(small)
    assert one_sentence(str(caught.value))
    assert not installed(small) & {"apple", "pear"}
    before = made_at(small)
    pear.write_bytes(good)
    environments.ensure(small)
    assert installed(small) >= {"apple", "pear"} and made_at(small) == before


@pytest.mark.slow
def test_a_download_that_breaks_off_is_one_sentence_and_installs_nothing(small, index, tmp_path):
    small.folder.parent.mkdir()
    apple, pear = (wheels.write(tmp_path / "wheels", name, "1.0", megabytes=1) for name in ("apple", "pear"))
    want(wheels.entry(apple) + wheels.entry(pear))
    index.hangs_up = True
    # An old pip takes half a file for a file: it is the hash that tells.
    told = r"^The package index cannot be reached|^apple==1\.0 did not arrive"
    with pytest.raises(CommandError, match=told) as caught:
        environments.ensure(small)
    assert one_sentence(str(caught.value)) and not installed(small) & {"apple", "pear"}
    index.hangs_up = False
    environments.ensure(small)
    assert installed(small) >= {"apple", "pear"}


@pytest.mark.slow
def test_neither_the_code_of_a_source_package_nor_what_a_wheel_asks_for_comes_in(small, index, tmp_path):
    small.folder.parent.mkdir()
    apple = wheels.write(tmp_path / "wheels", "apple", "1.0", needs="pear")
    wheels.write(tmp_path / "wheels", "pear", "1.0")
    want(wheels.entry(apple))
    environments.ensure(small)
    assert installed(small) & {"apple", "pear"} == {"apple"}

    marker, source = tmp_path / "ran", tmp_path / "wheels" / "plum-1.0.tar.gz"
    (tmp_path / "setup.py").write_text(f"open({str(marker)!r}, 'w')\n")
    with tarfile.open(source, "w:gz") as archive:
        archive.add(tmp_path / "setup.py", "plum-1.0/setup.py")
    want(wheels.entry(source))
    with pytest.raises(CommandError, match="No matching distribution found for plum"):
        environments.ensure(small)
    assert not marker.exists()


def test_the_pinned_torch_is_found():
    assert environments.torch_pin("# torch==1\nnumpy==2\ntorch==2.13.0\n") == "torch==2.13.0"
    with pytest.raises(CommandError):
        environments.torch_pin("numpy==2\n")


@pytest.mark.parametrize(("library", "package"), DEBIAN_PACKAGES.items())
def test_a_missing_system_library_names_its_debian_package(library, package):
    stderr = (
        'Traceback (most recent call last):\n  File "<string>", line 1, in <module>\n'
        f"ImportError: {library}: cannot open shared object file: No such file or directory\n"
    )
    said = explain_import_failure("bpy", stderr, 1)
    assert library in said and f"install the Debian package {package} " in said
    assert one_sentence(said)


def test_an_unknown_missing_library_and_other_import_failures_are_one_sentence():
    unknown = "ImportError: libfoo-2.so.9: cannot open shared object file: No such file or directory\n"
    assert "libfoo-2.so.9" in explain_import_failure("bpy", unknown, 1)
    crashed = explain_import_failure("bpy", "", -11)
    assert "exit code -11" in crashed
    assert one_sentence(crashed)


def test_a_python_without_a_bpy_release_is_told_which_to_use(monkeypatch):
    monkeypatch.setattr(environments, "HOST_PYTHONS", ((3, 98),))
    with pytest.raises(CommandError) as caught:
        environments.check_python(environments.HOST)
    assert "3.11 and 3.13" in str(caught.value) and one_sentence(str(caught.value))
    environments.check_python(environments.ENGINE)


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "disk"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError(...)': /simple/torch/\n"
            "ERROR: Could not find a version that satisfies the requirement torch==2.13.0\n"
            "ERROR: No matching distribution found for torch==2.13.0\n",
            "network",
        ),
        ("ERROR: No matching distribution found for bpy==4.5.15\n", "no_build"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n    a==1:\n",
            "poisoned",
        ),
        ("ProtocolError('Connection broken: IncompleteRead(1 bytes read, 1 more expected)')\n", "network"),
        (
            "ERROR: Cannot install a==1 because ...\nERROR: ResolutionImpossible: for help visit x\n",
            "conflict",
        ),
        ("error: metadata-generation-failed\n", "other"),
        ("", "other"),
    ],
)
def test_a_failure_of_pip_is_told_by_its_cause(output, kind):
    failure = classify_failure(output)
    assert failure.kind == kind
    assert failure.detail and "\n" not in failure.detail


def test_pip_lines_become_progress():
    assert (
        describe_line("Collecting torch==2.13.0 (from -r engine.txt (line 3))\n") == "fetching torch==2.13.0"
    )
    assert (
        describe_line("  Downloading a-1-py3-none-any.whl (3.2 MB)\n")
        == "fetching a-1-py3-none-any.whl (3.2 MB)"
    )
    assert describe_line("Installing collected packages: a, b, c\n") == "installing 3 packages"
    assert describe_line("Requirement already satisfied: a in b\n") is None


def test_without_a_terminal_a_stage_is_printed_once_and_with_the_time():
    stream = io.StringIO()
    status = StatusLine("engine", stream)
    for text in ("fetching a", "fetching b", "installing 2 packages"):
        status.show(text)
    status.close("ready")
    lines = stream.getvalue().splitlines()
    assert [line.split(" s  ")[1] for line in lines] == [
        "fetching a",
        "installing 2 packages",
        "ready",
    ]
    assert all(line.startswith("[engine] ") and " s " in line for line in lines)


def test_a_known_error_of_a_command_is_a_sentence_and_an_exit_code(capsys):
    def fails() -> int:
        raise CommandError("Something is wrong: do this.")

    def is_interrupted() -> int:
        raise KeyboardInterrupt

    assert environments.run_main(fails) == 1
    assert environments.run_main(is_interrupted) == 130
    said = capsys.readouterr().err
    assert "error: Something is wrong: do this." in said and "Traceback" not in said
