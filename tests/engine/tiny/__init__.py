# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny model of each family, of diffusers' real classes with random weights: one module each."""
