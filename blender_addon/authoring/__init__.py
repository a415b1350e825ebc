# SPDX-License-Identifier: GPL-3.0-or-later
"""Make and move subjects for the user: placed in view, along a motion, or along a track of boxes."""
