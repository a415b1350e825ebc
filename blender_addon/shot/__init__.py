# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene read as a shot: what the engine is asked for, and what may be wrong with it."""
