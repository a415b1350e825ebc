# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the clip of a .blend without a window, and put it into the file's sequencer.

    blender -b shot.blend -P scripts/batch_render.py -- --out DIR [--prompt TEXT] [--save] ...
    python scripts/batch_render.py shot.blend --out DIR [--prompt TEXT] [--save] ...

The second form needs the bpy module. The exit code is 0 only if the clip is there. Where the extension is
installed, ``blender shot.blend --command peekaboo generate`` does the same.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from blender_addon import cli, headless


def main(arguments: list[str]) -> None:
    """Make the clip; raises PeekabooError where there is none."""
    parser = argparse.ArgumentParser(
        prog="batch_render.py", description="Make a .blend's clip without a window."
    )
    if headless.runs_as_module():
        parser.add_argument("blend", type=Path, help="the file whose active scene is the shot")
    cli.add_options(parser)
    options = parser.parse_args(arguments)
    if headless.runs_as_module():
        headless.open_blend(options.blend)
    cli.generate(options)


if __name__ == "__main__":
    headless.run_script(main)
