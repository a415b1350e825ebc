# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user sees and presses: panels, menus, operators, preferences, and the overlay in the viewport."""
