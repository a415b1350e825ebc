# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the shots of a .blend as a job for a render farm, without a window.

    blender -b shot.blend -P scripts/farm_bundle.py -- --out DIR [--seeds 1-8] [--model NAME] ...
    python scripts/farm_bundle.py shot.blend --out DIR [--seeds 1-8] [--model NAME] ...

The second form needs the bpy module. Where the extension is installed, ``blender shot.blend --command
peekaboo bundle`` does the same.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from house import inside_blender

from blender_addon.command import farming, options


def main(arguments: list[str]) -> None:
    """Write the job; raises PeekabooError where it cannot be."""
    parser = options.Parser(
        prog="farm_bundle.py",
        description="Write a .blend's shots as a job for a farm.",
        conflict_handler="resolve",
    )
    if inside_blender.runs_as_module():
        parser.add_argument("blend", type=Path, help="the file with the shots")
    farming.add_export(parser)
    asked = parser.parse_args(arguments)
    if inside_blender.runs_as_module():
        inside_blender.open_blend(asked.blend)
    farming.export(asked)


if __name__ == "__main__":
    inside_blender.run_script(main)
