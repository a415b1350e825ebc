# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands ``blender --command peekaboo``: what they are called, take, print and exit with."""
