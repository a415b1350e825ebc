# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a background is as without control."""

import numpy as np
import pytest

from peekaboo_engine.benchmark.consistency import background_consistency


class TestBackgroundConsistency:
    @staticmethod
    def clip(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 255, (2, 24, 32, 3), dtype=np.uint8)

    def test_by_hand(self):
        clip, box = self.clip(0), np.array([[0.25, 0.25, 0.75, 0.75]] * 2)
        assert background_consistency(clip, clip, [box]) == pytest.approx(1)
        assert abs(background_consistency(clip, self.clip(1), [box])) < 0.05
        # Flat grey of 0.4 against 0.5: only the light differs, (2ab + c) / (a² + b² + c).
        grey, lighter = (np.full((2, 24, 32, 3), value, np.uint8) for value in (102, 127.5))
        a, b = 0.4, 127 / 255
        expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
        assert background_consistency(grey, lighter, []) == pytest.approx(expected, abs=1e-4)

    def test_what_happens_in_a_subject_does_not_count(self):
        clip, box = self.clip(0), np.array([[0.25, 0.25, 0.75, 0.75]] * 2)
        changed = clip.copy()
        changed[:, 6:18, 8:24] = 0
        assert background_consistency(changed, clip, [box]) == pytest.approx(1)
        assert background_consistency(changed, clip, []) < 0.9

    def test_none_without_a_background(self):
        clip, absent = self.clip(0), np.full((2, 4), np.nan)
        assert background_consistency(clip, clip, [np.array([[0.0, 0, 1, 1]] * 2)]) is None
        assert background_consistency(clip, clip, [absent]) == pytest.approx(1)
