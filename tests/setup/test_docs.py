# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages: links lead somewhere, every page is reached, lines have one width, figures come with data."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from pages import PAGES, ROOT, name

WIDTH = 110
FENCE = re.compile(r"^\s*```")
CONFLICT = re.compile(r"(?:<{7}|={7}|>{7})(?: .*)?")
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
OURS = re.compile(r"(?:scripts|docs|tests|requirements|blender_addon|peekaboo_engine)/[\w./-]*\w/?")
MOST_LINES = 700  # of a JSON: a table of single clips has thousands
MOST_BYTES = 108_000_000  # of all weights here; the package has those of the default model only

FIGURES = sorted(path for path in (ROOT / "docs").rglob("*") if path.suffix in {".json", ".png", ".svg"})


each_page = pytest.mark.parametrize("page", PAGES, ids=name)


@cache
def prose(page: Path) -> tuple[tuple[int, str], ...]:
    """The numbered lines of a page outside of code blocks."""
    lines, inside = [], False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            lines.append((number, line))
    return tuple(lines)


def links(page: Path) -> list[str]:
    text = "\n".join(line for _, line in prose(page))
    return [link for link in LINK.findall(CODE.sub("", text)) if not re.match(r"\w+:", link)]


def anchors(page: Path) -> set[str]:
    """What GitHub names the headings of a page."""
    titles = [line.lstrip("#").strip().lower() for _, line in prose(page) if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}


@each_page
def test_links_lead_to_what_is_there(page):
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), f"{name(page)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{name(page)} links to {link}"


@each_page
def test_no_conflict_of_a_merge_was_left(page):
    lines = enumerate(page.read_text("utf-8").splitlines(), start=1)
    left = [number for number, line in lines if CONFLICT.fullmatch(line)]
    assert not left, f"{name(page)} has the marks of a merge in lines {left}"


@each_page
def test_prose_has_one_width(page):
    """Tables, code, pictures and what has no space to break at may be longer."""
    for number, line in prose(page):
        whole = line.startswith("    ") or line.lstrip().startswith(("|", "!["))
        unbroken = " " not in line.strip()[:WIDTH]
        assert len(line) <= WIDTH or whole or unbroken, f"{name(page)}:{number} has {len(line)} characters"


@each_page
def test_files_that_prose_names_are_there(page):
    """Of the repository's own folders; a name with a pattern or a placeholder stands for several."""
    for span in CODE.findall("\n".join(line for _, line in prose(page))):
        for path in OURS.findall(span):
            if re.search(r"[*{<]|\.\.\.|[A-Z]{3}", span):
                continue
            before = span[: span.index(path)]
            if before.endswith(("/", ".")):  # of another folder, such as a repository's that is not ours
                continue
            assert (ROOT / path).exists(), f"{name(page)} names {path}"


@each_page
def test_tests_that_prose_names_are_there(page):
    for path, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text("utf-8")):
        assert f"\ndef {test}(" in (ROOT / path).read_text("utf-8"), f"{name(page)} names {path}::{test}"


def test_every_page_is_reached_from_the_readme():
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            todo += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    missing = [name(page) for page in PAGES if page not in reached and page.is_relative_to(ROOT / "docs")]
    assert not missing
    assert {ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"} <= reached


@pytest.mark.parametrize("figure", FIGURES, ids=name)
def test_a_figure_is_shown_or_linked_by_a_page(figure):
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)}
    assert figure in linked


@pytest.mark.parametrize("figure", [f for f in FIGURES if f.suffix == ".json"], ids=name)
def test_figures_are_summaries(figure):
    text = figure.read_text("utf-8")
    assert text.count("\n") <= MOST_LINES, "keep its rows: scripts/measure/summarise.py"
    assert not isinstance(json.loads(text), dict) or "clips" not in json.loads(text)


def test_weights_stay_within_their_weight():
    assets = ROOT / "peekaboo_engine" / "assets"
    assert sum(path.stat().st_size for path in assets.rglob("*.safetensors")) <= MOST_BYTES


@each_page
def test_json_of_the_pages_is_json(page):
    for block in re.findall(r"^ *```json\n(.*?)^ *```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        lines = [block] if block.lstrip().startswith("{\n") else block.strip().splitlines()
        for line in lines:
            json.loads(line)


@pytest.mark.parametrize("folder", ["blender_addon", "peekaboo_engine", "scripts", "tests"])
def test_pages_and_scripts_that_code_names_are_there(folder):
    """Figures, too, but in scripts: what they are told to write may not be there yet."""
    kinds = "md|py" if folder == "scripts" else "md|py|json|png|svg"
    named = re.compile(rf"\b((?:docs|scripts)/[\w/.-]+\.(?:{kinds}))\b")
    for path in (ROOT / folder).rglob("*.py"):
        for file in named.findall(path.read_text("utf-8")):
            assert (ROOT / file).exists(), f"{name(path)} names {file}"


def test_the_files_where_a_line_goes_are_there():
    """A row's later names lie beside its first one, or at the top of its package."""
    package = beside = None
    for line in (ROOT / "docs" / "architecture.md").read_text("utf-8").splitlines():
        if heading := re.match(r"In the .*\(`(\w+)/`\):$", line):
            package = beside = ROOT / heading[1]
        if package and line.startswith("| ") and not line.startswith("| I want"):
            beside = package
            for span in CODE.findall(line.split("|")[2]):
                if not re.fullmatch(r"[\w/]+(\.py|\.json|/)", span):
                    continue
                found = [folder / span for folder in (beside, package, ROOT) if (folder / span).exists()]
                assert found, f"{span}: {line}"
                beside = found[0].parent
