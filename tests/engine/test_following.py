# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise and attention that follow a subject along its path."""

import numpy as np
import pytest
import torch
from steered import PHRASES, difference, run
from tiny_models import FRAMES, HEIGHT, WIDTH, latents

from peekaboo_engine.control import peekaboo
from peekaboo_engine.control.labels import pool_labels
from peekaboo_engine.control.noise import following_noise, offsets
from peekaboo_engine.control.paths import follow


def moving(frames=8, height=20, width=36):
    labels = np.zeros((frames, height, width), np.uint8)
    for frame in range(frames):
        labels[frame, 4:14, 2 + 3 * frame : 12 + 3 * frame] = 1
    return labels


def test_noise_follows_a_subject_and_stays_noise():
    labels = moving()
    noise = torch.randn(1, 64, *labels.shape, generator=torch.Generator().manual_seed(0))
    followed = following_noise(noise, labels, 0.5)

    def likeness(some):
        """Correlation of what lies in the box in neighbouring frames, once it is made smooth."""
        boxes = torch.stack([some[0, :, f, 4:14, 2 + 3 * f : 12 + 3 * f] for f in range(len(labels))])
        smooth = torch.nn.functional.avg_pool2d(boxes, 5, 1)
        return torch.nn.functional.cosine_similarity(smooth[1:].flatten(1), smooth[:-1].flatten(1)).mean()

    assert likeness(noise) < 0.05
    assert likeness(followed) > 0.3
    for label in (0, 1):
        there = torch.from_numpy(labels == label)
        assert followed[..., there].std().item() == pytest.approx(1, abs=0.01)
        assert followed[..., there].mean().item() == pytest.approx(0, abs=0.02)
    assert torch.equal(following_noise(noise, 0 * labels, 0.5), noise)


def test_noise_comes_from_the_seed_and_given_latents_stay(pipe, two_boxes):
    assert torch.equal(run(pipe, two_boxes, follow_noise=0.3), run(pipe, two_boxes, follow_noise=0.3))
    given = torch.randn(1, 4, FRAMES, 8, 12)
    with peekaboo(pipe, two_boxes, PHRASES, masked_steps=0, follow_noise=0.3):
        steered = latents(pipe, latents=given)
    assert torch.equal(steered, latents(pipe, latents=given))


def test_offsets_are_those_of_the_centre():
    np.testing.assert_array_equal(offsets(moving(), 1), [[0, 3 * (frame - 4)] for frame in range(8)])


@pytest.mark.parametrize("free_half", [False, True])
def test_along_a_path_a_subject_sees_the_same_place_of_itself(free_half):
    labels = moving(frames=5)
    labels[:, 16:, 20:] = 2
    labels[2:, 16:, 20:24] = 0
    pixels = labels[0].size
    query, key, value = torch.randn(3, 2 * pixels, 2, 5, 8, generator=torch.Generator().manual_seed(0))
    rule = follow(labels, free_half, 2)
    assert rule.fits(query, key)
    before = rule.attend(query, key, value)
    place = (1, 2, 6, 12)  # half, frame, row, column: in subject 1
    token = (pixels + 6 * 36 + 12, slice(None), 2)
    key[token] += 3
    value[token] += 1
    moved = (before != rule.attend(query, key, value)).any(-1).any(1).unflatten(0, (2, 20, 36))
    expected = torch.zeros_like(moved)
    for frame in range(5):
        expected[place[0], 6, 12 + 3 * (frame - 2), frame] = True
    assert torch.equal(moved, expected)
    plain = torch.nn.functional.scaled_dot_product_attention(query, key, value)[:pixels]
    alike = torch.allclose(rule.attend(query, key, value)[:pixels], plain, atol=1e-5)
    assert alike == free_half


def test_a_subject_that_stands_still_has_the_masks_of_its_pixels(pipe):
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    labels[:, 8:40, 16:64] = 1
    still = run(pipe, labels, PHRASES[:1])
    assert difference(run(pipe, labels, PHRASES[:1], follow_path=True), still) < 1e-4


def test_the_pooled_labels_of_a_path_keep_every_cell(two_boxes):
    """Every cell of every level is in exactly one row."""
    for grid in ((8, 12), (4, 6), (1, 2)):
        rule = follow(pool_labels(two_boxes, *grid), False, 1)
        entries = rule.rows.flatten()
        assert len(entries.unique()) == entries.numel()
        assert torch.equal(rule.cells.flatten()[entries], torch.arange(entries.numel()))
