# SPDX-License-Identifier: GPL-3.0-or-later
"""Masked video diffusion (PEEKABOO, arXiv 2312.07509) on diffusers pipelines. Never imports bpy."""

__version__ = "0.1.0"
"""Of engine and extension; stated here and nowhere else."""
