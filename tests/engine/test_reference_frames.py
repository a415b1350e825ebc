# SPDX-License-Identifier: GPL-3.0-or-later
"""The same job and seed give the frames that they gave before: reworking the engine moves no pixel."""

import numpy as np
import pytest
import reference_frames

TOLERANCE = 3
"""Of 255. Kernels of other processors, other numbers of threads and other versions of torch add in another
order, which the few steps carry to a level or two; what acts differently moves whole subjects. On the
machine that wrote the reference the frames are the same to the bit."""


@pytest.fixture(scope="module")
def model():
    return reference_frames.load()


@pytest.mark.slow
@pytest.mark.parametrize("name", reference_frames.JOBS)
def test_a_job_gives_the_frames_that_it_gave(model, name, record_property):
    frames = reference_frames.frames_of(name, model)
    with np.load(reference_frames.REFERENCE) as reference:
        expected, digest = reference[name], str(reference[f"{name}, sha256"])
    record_property("same to the bit", reference_frames.sha256(frames) == digest)
    moved = np.abs(reference_frames.kept(frames).astype(int) - expected)
    assert moved.max() <= TOLERANCE, f"{(moved > TOLERANCE).mean():.1%} of the pixels moved"
