# SPDX-License-Identifier: GPL-3.0-or-later
"""What Windows, macOS and Linux do differently, asked of each on any of them."""

import os
import signal
import subprocess
import sys
from pathlib import PurePosixPath, PureWindowsPath

import pytest

from blender_addon import paths
from blender_addon.engine import systems


@pytest.mark.parametrize(
    ("home", "system", "python"),
    [
        (PurePosixPath("/home/a/engine"), "posix", "/home/a/engine/bin/python"),
        (PureWindowsPath("C:\\Users\\a b\\engine"), "nt", "C:\\Users\\a b\\engine\\Scripts\\python.exe"),
    ],
)
def test_an_environment_has_its_python_where_the_system_puts_it(home, system, python):
    assert str(systems.python_of(home, system)) == python


@pytest.mark.parametrize(
    ("stated", "elsewhere"),
    [
        ("//..\\clips\\take", "//../clips/take"),
        ("C:\\clips", "/c/clips"),
        ("d:/clips", "/d/clips"),
        ("C:", "C:"),
        ("/home/a/b", "/home/a/b"),
    ],
)
def test_a_path_of_windows_is_read_as_blender_reads_it(stated, elsewhere):
    assert paths.as_here(stated, "posix") == elsewhere
    assert paths.as_here(stated, "nt") == stated


PARENT = """
import subprocess
child = subprocess.Popen(["sleep", "60"])
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("politely", "number"), [(True, signal.SIGTERM), (False, signal.SIGKILL)])
def test_a_process_ends_with_what_it_started(politely, number):
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True)
    process.stdout.readline()
    systems.end(process, politely)
    assert process.wait(30) == -number
    assert process.stdout.read() == b""  # which its child had open, too
    systems.end(process, politely)  # it has ended: nothing happens


def test_on_windows_the_process_itself_is_ended():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    systems.end(process, politely=True, system="nt")
    assert process.wait(30) != 0
