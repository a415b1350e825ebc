# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in the making, from an order to its strip: in the background of a session, or waited for."""
