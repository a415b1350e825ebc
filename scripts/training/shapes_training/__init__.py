# SPDX-License-Identifier: GPL-3.0-or-later
"""How the embedded model `shapes` is made: drawn clips, captions, and the training of its three networks."""
