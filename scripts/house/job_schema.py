# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a job may be, for who cannot import the engine: ``python scripts/house/job_schema.py``.

The add-on reads jobs of others in Blender's Python, which has no pydantic, by ``job.schema.json``. It is made
of the engine's own class, so that both refuse the same.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

FILE = ROOT / "peekaboo_engine" / "job.schema.json"


def text() -> str:
    """The schema of the engine's class, without what is said in words."""
    from peekaboo_engine.job import Job  # whose folder this script adds to the path

    return json.dumps(_bare(Job.model_json_schema()), indent=1) + "\n"


def _bare(schema):
    if isinstance(schema, list):
        return [_bare(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    words = {name for name in ("title", "description") if isinstance(schema.get(name), str)}
    return {name: _bare(part) for name, part in schema.items() if name not in words}


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
