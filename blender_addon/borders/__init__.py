# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have written: files without surprises, and text as it may be shown; imports no bpy."""
