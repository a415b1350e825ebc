# SPDX-License-Identifier: GPL-3.0-or-later
"""What was made: a folder on the disk for each take, and its strips in the sequencer."""
