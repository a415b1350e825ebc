# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of the add-on and of the engine imports which: down the drawing in docs/architecture.md."""

import ast
import graphlib
import re
import subprocess
import sys

import pytest
from house.environments import ROOT

PAGE = ROOT / "docs" / "architecture.md"

PACKAGES = ("blender_addon", "peekaboo_engine")
OTHERS = {
    "blender_addon": {"torch", "diffusers", "peekaboo_engine"},
    "peekaboo_engine": {"bpy", "blender_addon"},
}
"""What is of the other side of the border."""


def floors(package):
    """The floor of each room as the page draws it, from the ground up."""
    drawing = re.search(r"^```text\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]
    below = re.split(rf"^{package}/$", drawing, flags=re.MULTILINE)[1]
    own = re.split(r"^\S", below, flags=re.MULTILINE)[0]
    return re.findall(r"^   (\w[\w ]*?) +│ ", own, re.MULTILINE)[::-1]


def imports(package):
    """What each module imports of its package, wherever in the file that stands: by dotted names."""
    paths = {path.relative_to(ROOT).with_suffix("").parts: path for path in (ROOT / package).rglob("*.py")}
    modules = {parts[:-1] if parts[-1] == "__init__" else parts: path for parts, path in paths.items()}
    arrows = {}
    for module, path in modules.items():
        inside = module if path.name == "__init__.py" else module[:-1]
        arrows[module] = found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [tuple(alias.name.split(".")) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = inside[: len(inside) - node.level + 1] if node.level else ()
                base += tuple(node.module.split(".")) if node.module else ()
                names = [(*base, alias.name) for alias in node.names]
            for name in names:  # a module, or a name in one
                found |= {next((known for known in (name, name[:-1]) if known in modules), module)}
        found.discard(module)
    return arrows


def room(module):
    return module[1] if len(module) > 1 else "__init__"


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_downward(package):
    """A room imports what is on floors below its own, and nothing beside it."""
    drawn = floors(package)
    floor_of = {name: i for i, names in enumerate(drawn) for name in names.split()}
    assert len(floor_of) == len(" ".join(drawn).split()), "a room is drawn twice"
    arrows = imports(package)
    drawn = sorted(" ".join(floors(package)).split())
    assert drawn == sorted({room(module) for module in arrows}), "give a new room its floor in the drawing"
    up = [
        f"{'.'.join(module)} -> {'.'.join(other)}"
        for module, others in arrows.items()
        for other in others
        if room(module) != room(other) and floor_of[room(other)] >= floor_of[room(module)]
    ]
    assert up == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package):
    graphlib.TopologicalSorter(imports(package)).prepare()  # raises CycleError


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_of_the_other_side_of_the_border_is_imported(package):
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert not {name.split(".")[0] for name in names} & OTHERS[package], path


def test_the_engines_room_needs_no_bpy():
    rooms = sorted(path.stem for path in (ROOT / "blender_addon" / "engine").glob("[!_]*.py"))
    code = (
        "".join(f"import blender_addon.engine.{name}\n" for name in rooms)
        + "import sys; assert 'bpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
