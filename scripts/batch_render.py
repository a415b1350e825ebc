# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the clips of a .blend without a window, and put them into the file's sequencer.

    blender -b shot.blend -P scripts/batch_render.py -- --out DIR [--seeds 1-8] [--save] [--json] ...
    python scripts/batch_render.py shot.blend --out DIR [--seeds 1-8] [--save] [--json] ...

The second form needs the bpy module. The exit code is 0 only if all clips are there. Where the extension is
installed, ``blender shot.blend --command peekaboo generate`` does the same.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from house import inside_blender

from blender_addon.command import cli, options


def main(arguments: list[str]) -> None:
    """Make the clips; raises PeekabooError where one is missing."""
    parser = options.Parser(prog="batch_render.py", description="Make a .blend's clips without a window.")
    if inside_blender.runs_as_module():
        parser.add_argument("blend", type=Path, help="the file with the shot")
        parser.add_argument("--online-mode", action="store_true", help="let the engine download a model")
    cli.add_generate(parser)
    asked = parser.parse_args(arguments)
    if inside_blender.runs_as_module():
        inside_blender.open_blend(asked.blend)
    cli.generate(asked, online=getattr(asked, "online_mode", False))


if __name__ == "__main__":
    inside_blender.run_script(main)
