# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that the code is made of, where no linter looks."""

import ast

from house.environments import ROOT


def lone_texts(path):
    """Places of texts that are statements by themselves, and no docstrings: they do nothing."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.JoinedStr):
            begins = lines[node.lineno - 1].lstrip(" r")
            if not begins.startswith(('"""', "...")):
                yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_no_half_of_a_text_stands_beside_it():
    """Two lines are one text within brackets alone."""
    folders = ("blender_addon", "peekaboo_engine", "scripts")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert [place for path in paths for place in lone_texts(path)] == []
