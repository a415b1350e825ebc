# SPDX-License-Identifier: GPL-3.0-or-later
"""Every process that the project starts is told of in docs/reference/trust.md."""

import ast
import re

from house.environments import ROOT

FOLDERS = ("blender_addon", "peekaboo_engine", "scripts")
WITHOUT_SUFFIX = (ROOT / "scripts" / "demo", ROOT / "scripts" / "test")
STARTS = re.compile(
    r"subprocess\.(run|Popen|call|check_call|check_output|getoutput|getstatusoutput)"
    r"|os\.(system|popen|startfile|exec\w+|spawn\w+|posix_spawn\w*|fork\w*)|pty\.\w+|multiprocessing\.\w+"
    r"|webbrowser\.\w+|asyncio\.create_subprocess_\w+|bpy\.ops\.wm\.(path|url)_open"
)


def starts(source: str) -> set[str]:
    """The functions of a file that start a process, as in ``Task.call``."""
    found = set()

    def visit(node: ast.AST, inside: tuple[str, ...]) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = (*inside, node.name)
        if isinstance(node, ast.Call) and STARTS.fullmatch(ast.unparse(node.func)):
            found.add(".".join(inside) or "(module)")
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(source), ())
    return found


def test_a_call_is_found_wherever_it_is():
    source = (
        "import subprocess\nsubprocess.run([])\n"
        "class A:\n    def b(self):\n        with subprocess.Popen([]) as c: pass\n"
    )
    assert starts(source) == {"(module)", "A.b"}


def test_every_process_that_is_started_is_in_the_table():
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = {
        f"{path.relative_to(ROOT).as_posix()} {function}"
        for path in [*files, *WITHOUT_SUFFIX]
        for function in starts(path.read_text("utf-8"))
    }
    page = (ROOT / "docs" / "reference" / "trust.md").read_text("utf-8")
    told = {
        f"{file} {function}" for file, function in re.findall(r"^\| `([\w/.]+)` `([\w.()]+)` \|", page, re.M)
    }
    assert told == found
