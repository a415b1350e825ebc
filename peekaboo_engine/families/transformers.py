# SPDX-License-Identifier: GPL-3.0-or-later
"""What families have in common whose denoiser is a transformer over whole clips: the masks that steer it."""

STRONG = {
    "until": 0.89,
    "bound_until": 0.49,
    "kinds": ("cross",),
    "contrast": False,
    "cell_share": 0.3,
}
"""What steered the embedded model of Wan's classes best (docs/reference/solids.md); elsewhere not measured.

Masks of full attention lose subjects, the more so in few steps, and contrast blurs who is who. No step of a
few-step schedule falls on these levels, as some do on .9 and .5. A token stands for four frames or eight, so
that little of it is covered by what moves: taken from three tenths on, fewer subjects are lost.
"""
