# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures control: box tracks to follow, detectors that find the subject, and how far the two agree."""
