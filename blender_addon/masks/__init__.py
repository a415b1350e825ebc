# SPDX-License-Identifier: GPL-3.0-or-later
"""From objects in a scene to label maps: each subject's outline, projected through the camera."""
