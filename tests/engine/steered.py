# SPDX-License-Identifier: GPL-3.0-or-later
"""A pipeline under control, as tests of single switches run it."""

from tiny.unet3d import latents

from peekaboo_engine.control import peekaboo

PHRASES = ["a red ball", "a blue cube"]


def run(pipe, labels, phrases=PHRASES, **options):
    steps = {} if {"until", "steering"} & options.keys() else {"masked_steps": 1}
    with peekaboo(pipe, labels, phrases, **steps | options):
        return latents(pipe)


def difference(one, other):
    return (one - other).abs().max().item()
