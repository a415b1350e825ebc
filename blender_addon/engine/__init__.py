# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as Blender sees it: its environment, its process, and the jobs it is given; imports no bpy."""
