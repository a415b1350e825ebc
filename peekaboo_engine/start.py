# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the engine that this file belongs to: ``python -I peekaboo_engine/start.py serve``.

With ``python -m peekaboo_engine`` the current folder comes first among the places of modules, and whatever
lies there is taken for one. An isolated Python leaves that out, and then has to be told where the engine is:
here. The folder around it stays out too, since in the extension it holds the add-on's modules.
"""

import importlib.util
import runpy
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def main() -> None:
    """Run the engine's command line."""
    spec = importlib.util.spec_from_file_location(
        "peekaboo_engine", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    assert spec is not None and spec.loader is not None
    package = sys.modules["peekaboo_engine"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    runpy.run_module("peekaboo_engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
