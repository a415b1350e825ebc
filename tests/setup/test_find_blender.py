# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding an installed Blender: stand-in programs that print what a Blender prints."""

import os
import sys
from pathlib import Path

import pytest
from house.environments import CommandError
from house.find_blender import find_blender, parse_blender_version

posix_only = pytest.mark.skipif(os.name == "nt", reason="the stand-in program is a shell script")


def program(folder: Path, prints: str, name: str = "blender") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\nprintf '{prints}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("Blender 4.2.0\n\tbuild date: 2024-07-16\n", (4, 2)),
        ("Blender 5.2.2 LTS\n", (5, 2)),
        ("Blender 4.10.0 Alpha\n", (4, 10)),
        ("Warning: no /run/user\nBlender 4.5.15 LTS\n\tbuild date: x\n", (4, 5)),
        ("GNU blender, not Blender 4.2\n", None),
        ("", None),
    ],
)
def test_versions_are_read_from_what_blender_prints(printed, version):
    assert parse_blender_version(printed) == version


@posix_only
def test_the_variable_comes_before_the_path(tmp_path, monkeypatch):
    program(tmp_path / "bin", "Blender 4.5.1\\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("BLENDER", str(program(tmp_path / "own", "Blender 5.2.2 LTS\\n", "blender-5.2")))
    assert find_blender().version == (5, 2)
    monkeypatch.delenv("BLENDER")
    assert find_blender().path == str(tmp_path / "bin" / "blender")


@posix_only
def test_a_relative_path_in_the_variable_is_made_absolute(tmp_path, monkeypatch):
    program(tmp_path / "own", "Blender 4.2.1\\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLENDER", "./own/blender")
    assert Path(find_blender().path).is_absolute()


@posix_only
def test_an_old_blender_on_the_path_is_passed_over(tmp_path, monkeypatch):
    program(tmp_path / "bin", "Blender 4.1.0\\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("BLENDER", raising=False)
    assert find_blender() is None


@posix_only
def test_a_variable_that_names_no_suitable_blender_is_an_error(tmp_path, monkeypatch):
    for bad in (
        str(tmp_path / "nowhere"),
        str(program(tmp_path / "a", "Blender 3.6.5\\n")),
        str(program(tmp_path / "b", "hello\\n")),
        sys.executable,
    ):
        monkeypatch.setenv("BLENDER", bad)
        with pytest.raises(CommandError, match="BLENDER is set to") as caught:
            find_blender()
        assert bad in str(caught.value) and "\n" not in str(caught.value)
