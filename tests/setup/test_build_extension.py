# SPDX-License-Identifier: GPL-3.0-or-later
import subprocess
import sys
import tomllib
import zipfile

import build_extension
import pytest
from house.environments import ROOT, CommandError

import peekaboo_engine


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build_extension.build(tmp_path_factory.mktemp("dist"))


def test_the_version_is_stated_once(package):
    packed = tomllib.loads(zipfile.ZipFile(package).read("blender_manifest.toml").decode())
    assert packed["version"] == build_extension.version() == peekaboo_engine.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "version" not in project["project"] and project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "peekaboo_engine.__version__"}
    assert "version" not in tomllib.loads((ROOT / "blender_manifest.toml").read_text("utf-8"))


def test_package_is_named_after_its_version(package):
    assert package.name == f"peekaboo-{build_extension.version()}.zip"


def test_package_holds_manifest_addon_engine_and_its_requirements(package):
    names = set(zipfile.ZipFile(package).namelist())
    assert {
        "blender_manifest.toml",
        "__init__.py",
        "LICENSE",
        "requirements/engine.txt",
        "requirements/locked/engine.txt",
        "requirements/locked/torch-cpu.txt",
        "peekaboo_engine/__main__.py",
        "peekaboo_engine/model_folders.json",
        "peekaboo_engine/models.json",
    } <= names


def test_package_holds_the_default_models_weights_where_the_checkout_has_them(package):
    assets = ROOT / "peekaboo_engine" / "assets"
    here = {path.relative_to(ROOT).as_posix() for path in assets.rglob("*.safetensors")}
    names = zipfile.ZipFile(package).namelist()
    packed = {name for name in names if name.endswith(".safetensors")}
    assert packed == {name for name in here if "/assets/shapes" in name}
    assert not any("/assets/solids" in name for name in names)


def test_package_holds_no_caches_and_no_hidden_files(package):
    for name in zipfile.ZipFile(package).namelist():
        assert "__pycache__" not in name
        assert not any(part.startswith(".") for part in name.split("/"))


def test_same_files_give_the_same_bytes(package, tmp_path):
    assert build_extension.build(tmp_path).read_bytes() == package.read_bytes()


def test_folder_that_cannot_be_written_is_named_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"cannot be written to .* choose another folder\.$"):
        build_extension.build(tmp_path / "file")


def test_command_prints_the_packages_path(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "build_extension.py", "--out", tmp_path]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(tmp_path / f"peekaboo-{build_extension.version()}.zip")
