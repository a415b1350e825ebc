# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks: what is in them, that they fit together, and how PyTorch's index is read."""

import http.server
import importlib.metadata
import json
import re
import threading

import pytest
from house import lock
from house.environments import LOCKED, REQUIREMENTS, CommandError, made_from
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PATTERN = lock.BUILDS["cpu"]["torch"].format(torch="2\\.13\\.0")
WHEEL = "torch-2.13.0+cpu-cp313-cp313-manylinux_2_28_x86_64.whl"
VERSIONS = {"torch": "2.13.0", "triton": "3.7.1"}
WITHOUT_HASHES = {"torch-rocm7.2"}
"""PyTorch's index gives none, and the files have not been seen by us."""


def entries(name: str) -> list[tuple[Requirement, int]]:
    """The requirements of a lock, each with the number of its hashes."""
    text = (LOCKED / f"{name}.txt").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(Requirement(line.partition("--hash=")[0]), line.count("--hash=sha256:")) for line in lines]


def here(names: list[str]) -> dict[str, str]:
    """What the locks name for this system and Python."""
    return {
        canonicalize_name(entry.name): next(iter(entry.specifier)).version
        for name in names
        for entry, _ in entries(name)
        if entry.marker is None or entry.marker.evaluate()
    }


@pytest.mark.parametrize("name", sorted(path.stem for path in LOCKED.glob("*.txt")))
def test_a_lock_pins_each_package_and_knows_the_hashes_of_its_files(name):
    found = entries(name)
    assert found
    for entry, hashes in found:
        assert [each.operator for each in entry.specifier] in (["=="], ["==="]), entry
        assert entry.url is None and bool(hashes) == (name not in WITHOUT_HASHES), entry
    assert not re.search(r"^-", (LOCKED / f"{name}.txt").read_text("utf-8"), re.M), "a lock names no index"


@pytest.mark.parametrize("name", lock.NAMES)
def test_a_lock_is_made_of_the_pins_as_they_are_now(name):
    wanted = REQUIREMENTS / f"{name}.txt"
    assert made_from(wanted) in (LOCKED / wanted.name).read_text("utf-8"), "run python scripts/house/lock.py"
    pins = [line for line in wanted.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert pins and all("==" in line.split(";")[0] for line in pins)


def test_every_build_of_torch_is_of_the_pinned_version():
    wanted = re.search(r"^torch==(\S+)", (REQUIREMENTS / "engine.txt").read_text("utf-8"), re.M)[1]
    names = {path.stem for path in LOCKED.glob("torch*.txt")}
    assert names == {"torch", *(f"torch-{build}" for build in lock.BUILDS)}
    for name in names:
        pins = {entry.name: next(iter(entry.specifier)).version for entry, _ in entries(name)}
        assert pins["torch"].partition("+")[0] == wanted


@pytest.mark.parametrize("names", [("engine", "test", "lint"), ("host", "test")])
@pytest.mark.parametrize("python", ["3.11", "3.13"])
@pytest.mark.parametrize("system", ["linux", "win32", "darwin"])
def test_the_locks_of_one_environment_agree(names, python, system):
    place = {"python_version": python, "python_full_version": f"{python}.5", "sys_platform": system}
    versions: dict[str, str] = {}
    for name in names:
        for entry, _ in entries(name):
            if entry.marker is None or Marker(str(entry.marker)).evaluate(place):
                assert versions.setdefault(entry.name, str(entry.specifier)) == str(entry.specifier), entry


def test_this_environment_is_what_the_locks_name():
    named = here(["engine", "test"])
    assert {name: importlib.metadata.version(name) for name in named} == named


def test_nothing_that_only_a_card_needs_is_in_the_engines_own_lock():
    assert not [entry.name for entry, _ in entries("engine") if lock.OF_A_BUILD.match(f"{entry.name}==")]


def test_an_index_page_is_read_and_a_hash_that_it_does_not_give_is_kept():
    given, kept = "a" * 64, "b" * 64
    other = WHEEL.replace("cp313", "cp311")
    page = f"""
        <a href="/whl/cpu/{WHEEL.replace("+", "%2B")}#sha256={given}">one</a>
        <a href="https://elsewhere.example/whl/cpu/{other.replace("+", "%2B")}">without</a>
        <a href="/torch-2.13.0%2Bcpu-cp313-cp313t-manylinux_2_28_x86_64.whl#sha256={given}">free threads</a>
        <a href="/torch-2.12.0%2Bcpu-cp313-cp313-manylinux_2_28_x86_64.whl#sha256={given}">older</a>
        <a href="/whl/cpu/torch-2.13.0.tar.gz#sha256={given}">source</a>"""
    assert lock.wheels_of(page, PATTERN, {other: kept}) == {other: kept, WHEEL: given}
    assert lock.wheels_of(page, PATTERN, {}) == {other: None, WHEEL: given}
    with pytest.raises(CommandError, match=r"has another torch-2\.13\.0\+cpu-cp313.*SHA-256 differs"):
        lock.wheels_of(page, PATTERN, {WHEEL: kept})


class _Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = f'<a href="{WHEEL.replace("+", "%2B")}#sha256={"c" * 64}">x</a>'.encode()
        self.send_response(200 if self.path == "/whl/cpu/torch/" else 404)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_about):
        pass


def test_the_index_is_asked_and_where_it_is_out_of_reach_what_is_known_stays(capsys):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Index)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/whl/"
    assert lock.refresh({}, "cpu", "torch", VERSIONS, address) == {WHEEL: "c" * 64}
    server.shutdown()
    server.server_close()
    known = {WHEEL: "d" * 64}
    assert lock.refresh(known, "cpu", "torch", VERSIONS, address) == known
    assert "out of reach" in capsys.readouterr().err
    with pytest.raises(CommandError, match="the version of torch is new: run this where it can be reached"):
        lock.refresh(known, "cpu", "torch", {**VERSIONS, "torch": "2.14.0"}, address)


def test_a_build_without_all_hashes_says_so_and_one_file_without_is_refused():
    assert lock.build_lock("cpu", {"torch": {"a.whl": "1" * 64, "b.whl": None}}, VERSIONS) == (
        "# Refused, since no hash of them is known: b.whl.\n"
        f"torch==2.13.0+cpu \\\n    --hash=sha256:{'1' * 64}\n"
    )
    text = lock.build_lock("rocm7.2", {"torch": {"a.whl": "1" * 64}, "triton-rocm": {}}, VERSIONS)
    assert text.startswith("# Not all hashes are known") and "--hash" not in text
    assert text.endswith("torch==2.13.0+rocm7.2\ntriton-rocm==3.7.1\n")


def test_the_locks_of_pytorchs_builds_are_those_of_the_known_wheels():
    wheels = json.loads((REQUIREMENTS / lock.WHEELS).read_text("utf-8"))
    assert list(wheels) == list(lock.BUILDS)
    triton = next(entry for entry, _ in entries("torch") if entry.name == "triton")
    versions = {"torch": "2.13.0", "triton": next(iter(triton.specifier)).version}
    for build, packages in wheels.items():
        text = (LOCKED / f"torch-{build}.txt").read_text("utf-8")
        assert text == lock.header("engine") + lock.build_lock(build, packages, versions)


def test_each_python_of_blender_has_a_wheel_with_a_hash():
    wheels = json.loads((REQUIREMENTS / lock.WHEELS).read_text("utf-8"))
    for build in ("cpu", "cu130"):
        for python in ("cp311", "cp313"):
            files = [name for name in wheels[build]["torch"] if f"-{python}-{python}-" in name]
            assert files and all(wheels[build]["torch"][name] for name in files)
