# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have written: files without surprises, and what is read of them; imports no bpy."""
