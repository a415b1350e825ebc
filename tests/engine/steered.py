# SPDX-License-Identifier: GPL-3.0-or-later
"""A pipeline under control, as tests of single switches run it."""

from tiny.unet3d import latents

from peekaboo_engine.control import peekaboo

PHRASES = ["a red ball", "a blue cube"]


def run(pipe, labels, phrases=PHRASES, **options):
    with peekaboo(pipe, labels, phrases, **{"masked_steps": 1, **options}):
        return latents(pipe)


def difference(one, other):
    return (one - other).abs().max().item()
