# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a batch for people: a table in the terminal, and a page with the clips."""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from .errors import EngineError, shown
from .places import replacing

_TEMPLATE = Path(__file__).with_name("batch_report.html")


def show(report: dict[str, Any]) -> None:
    """Print the failures with their reasons, and the sum."""
    console = Console(markup=False, emoji=False)  # what stands in brackets is a part of a name
    failures = [job for job in report["jobs"] if job["outcome"] in {"failed", "left"}]
    if failures:
        table = Table("job", "why there is no clip, and what to do")
        for job in failures:
            table.add_row(shown(job["job"]), job["message"] or "The batch ended before it: run it again.")
        console.print(table)
    console.print(_sum(report), highlight=False)


def _sum(report: dict[str, Any]) -> str:
    parts = [f"{report[name]} {name}" for name in ("made", "kept", "failed", "left") if report[name]]
    return f"{', '.join(parts) or 'no jobs'} in {report['seconds']:.0f} s"


def check(path: Path) -> None:
    """Refuse, before all work, what can be no report's file; raises EngineError: ``cannot_write``."""
    if not path.name or path.is_dir():
        raise EngineError("cannot_write", f"The report {path} is a folder: give the name of a file in it.")
    if path.suffix.lower() == ".html":
        raise EngineError(
            "cannot_write", f"The page comes beside the report: name that {path.stem}.json, not {path.name}."
        )


def write(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON, and as a page beside it: ``report.json`` and ``report.html``.

    Raises:
        EngineError: ``cannot_write``.
    """
    page = path.with_suffix(".html")
    figures = "\n".join(_figure(job, page.parent) for job in report["jobs"])
    text = Template(_TEMPLATE.read_text("utf-8")).substitute(title=escape(_sum(report)), jobs=figures)
    try:
        for file, content in ((path, json.dumps(report, indent=1) + "\n"), (page, text)):
            with replacing(file) as temporary:
                temporary.write_text(content, encoding="utf-8")
    except OSError as error:
        raise EngineError(
            "cannot_write", f"Cannot write {path}: {error.strerror}; choose another place."
        ) from None


def _figure(job: dict[str, Any], beside: Path) -> str:
    name = escape(shown(job["job"]))
    if job["outcome"] in {"failed", "left"}:
        why = escape(job["message"] or "The batch ended before it: run it again.")
        return f'<figure class="failed"><figcaption><b>{name}</b><span>{why}</span></figcaption></figure>'
    clip = os.path.relpath(Path(job["out"]) / job["clip"], beside.resolve())
    source = quote(os.fsencode(Path(clip).as_posix()))
    video = f'<video src="{source}" controls loop muted></video>'
    picture = f'<img src="{source}">' if clip.endswith(".png") else video
    facts = f"{job['seconds']:.1f} s on {job['device']}" if job["outcome"] == "made" else "was there"
    return f"<figure>{picture}<figcaption><b>{name}</b><span>{escape(facts)}</span></figcaption></figure>"
