# SPDX-License-Identifier: GPL-3.0-or-later
import subprocess
import sys
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest

from peekaboo_engine.errors import EngineError
from peekaboo_engine.video import read_clip, replacing, write_clip


def moving_square(frames=7, height=64, width=96):
    clip = np.zeros((frames, height, width, 3), np.uint8)
    for index in range(frames):
        clip[index] = (60, 120, 60)
        clip[index, 16:40, 8 * index : 8 * index + 24] = (200, 40, 30)
    return clip


def probe(path):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_a_clip_comes_back_with_its_frames_and_colours(tmp_path):
    clip = moving_square()
    write_clip(tmp_path / "clip.mp4", clip, np.arange(len(clip)), Fraction(24000, 1001))
    back = read_clip(tmp_path / "clip.mp4")
    assert back.shape == clip.shape
    inside = back[:, 20:36, :].astype(int) - clip[:, 20:36, :]
    assert np.abs(np.median(inside)) <= 2
    for index in range(len(clip)):
        patch = back[index, 20:36, 8 * index + 4 : 8 * index + 20].reshape(-1, 3).mean(0)
        np.testing.assert_allclose(patch, (200, 40, 30), atol=6)
    described = probe(tmp_path / "clip.mp4")
    assert "h264" in described
    # told, since players guess by the size otherwise
    assert "yuv420p(tv, bt709/bt709/iec61966-2-1" in described
    assert "23.98 fps" in described


def test_a_block_that_fails_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_text("earlier")
    with pytest.raises(EngineError, match="change the folder"), replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a process's files")
@pytest.mark.parametrize("frames", [30, 300])  # ffmpeg fails at its end, or while it is fed
def test_a_full_disk_leaves_no_half_written_clip(tmp_path, frames):
    """A limit on the size of files, for ffmpeg too, stops the writing as a full disk does."""
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
import numpy as np
from fractions import Fraction
from pathlib import Path
from peekaboo_engine.errors import EngineError
from peekaboo_engine.video import write_clip
noise = np.random.default_rng(0).integers(0, 255, (30, 64, 96, 3), np.uint8)
try:
    write_clip(Path({str(tmp_path)!r}) / "clip.mp4", noise, np.arange({frames}) % 30, Fraction(24))
except EngineError as error:
    print(error.code, error.message)
    sys.exit(7)
"""
    # -B, or the limit cuts the bytecode that Python caches, without a word.
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("not_written")
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(EngineError, match=r"clip\.mp4"):
        write_clip(blocked / "clip.mp4", moving_square(2), np.arange(2), Fraction(24))
