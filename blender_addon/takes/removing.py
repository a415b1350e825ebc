# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove a take with all that shows it, and its files."""

import re
from contextlib import suppress
from pathlib import Path

import bpy

from ..borders import places
from ..errors import PeekabooError
from . import folders, mask_strips, strips, viewing

OWN_FILES = {
    "masks": re.compile(r"\d+\.png"),
    "job": re.compile(
        r"job\.json|masks\.npz|source\.mp4|(first|last)_frame_[0-9a-f]{12}\.(png|jpg)|peekaboo-engine-\d+\.log"
    ),
    ".": re.compile(r"clip\.(mp4|png|json)|((smooth_)?enlarged|smooth)\.(mp4|png)|thumbnail\.png"),
}
"""By the folder in a take's: names of files that we have put there."""


def delete(strip) -> list[Path]:
    """Remove a take from sequencer and cameras, and from the disk what belongs to it; returns what is left.

    A strip may name any folder. So a file is removed only by a name that ours have, only where the folder
    has the very job of the strip, and nothing behind a link; folders go when they are empty.

    Raises:
        PeekabooError: the folder is another take's, or another strip shows it; then nothing was removed.
    """
    folder = strips.folder_of(strip)
    if places.is_folder(folder):
        folders.read(strip)  # which refuses another take's
        if places.is_link(folder):
            raise PeekabooError(f'"{folder}" is a link: remove what it leads to yourself.')
        every = (take for other in bpy.data.scenes for take in strips.takes(other))
        if sum(strips.folder_of(take) == folder for take in every) > 1:
            raise PeekabooError(
                "Another strip shows this clip: remove one of them in the sequencer, and delete the other."
            )
    mask_strips.hide(strip)
    viewing.hide_in_all_cameras(strip)
    strips.remove(strip)  # first, since it may hold the movie open
    for inner, names in OWN_FILES.items():
        with suppress(OSError):  # of what is in use, such as by another program, it is told
            _remove_from(folder / inner, names)
    return sorted(folder.iterdir()) if places.is_folder(folder) else []


def _remove_from(folder: Path, names: re.Pattern[str]) -> None:
    """Remove the files of a folder that have such names, and the folder if nothing else is in it."""
    if places.is_link(folder) or not places.is_folder(folder):
        return
    for path in list(folder.iterdir()):
        if names.fullmatch(path.name) and not places.is_link(path) and places.is_file(path):
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
