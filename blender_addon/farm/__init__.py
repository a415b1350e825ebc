# SPDX-License-Identifier: GPL-3.0-or-later
"""A .blend's shots as a job of a render farm, which a studio's own scheduler runs."""
