# SPDX-License-Identifier: GPL-3.0-or-later
"""How the embedded model `solids` is made, in the classes of Wan, on what `shapes_training` draws."""
