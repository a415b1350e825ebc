# SPDX-License-Identifier: GPL-3.0-or-later
"""A render farm's tasks: one clip each, and the last one, which gathers them."""
