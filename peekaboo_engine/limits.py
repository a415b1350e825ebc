# SPDX-License-Identifier: GPL-3.0-or-later
"""The most that the engine takes from a file or a line of somebody else.

The add-on has the same numbers (it cannot import these); ``tests/limits.json`` holds both to one table.
"""

MAX_SUBJECTS = 255
"""Labels are uint8, and 0 is the background."""
MAX_FRAMES = 1024
"""Frames of the model: the longest that models of today make are of 257."""
MIN_SIDE, MAX_SIDE = 8, 2048
"""Pixels of width and height."""
MAX_CLIP_SIDE = 8192
"""Pixels of width and height of a clip that is enlarged: more than films have."""
MAX_VOXELS = 2**28
"""Frames x height x width: what the masks take in bytes."""
MAX_CLIP_FRAMES = 10_000
"""Frames of the scene that a clip is held for: 7 minutes at 24 a second."""
MAX_SCENE_FRAME = 1_048_574
"""Blender's last frame, and before zero its first."""
MAX_FPS = 32_767
MIN_FPS_BASE, MAX_FPS_BASE = 9e-6, 1e6
"""Blender's own: its least is the number of 32 bits below 0.00001."""
MAX_RATE = 1000
"""Frames a second that fps and fps_base make together."""
MAX_FRAME_SECONDS = 10_000
"""That fps and fps_base make a frame last; ffmpeg reads no movie of much longer ones."""
MAX_PROMPT = 10_000
"""Characters; text encoders read some 2,000 at most."""
MAX_PHRASE = 1_000
MAX_TIMED_PHRASES = 64
"""Phrases that some frames alone read."""
MAX_NAME = 255
"""Bytes of Blender's longest name are as many."""
MAX_PATH = 4096
"""Characters of a path, or of a model's name."""
MAX_STEPS = 300
MAX_GUIDANCE = 1000.0
MAX_SEED = 2**63 - 1
MAX_LORAS = 16
"""On one model."""
MAX_LORA_WEIGHT = 10.0
MAX_ID = 200
"""Characters of what a program calls a job."""

MAX_JSON_BYTES = 4 * 2**20
"""Of a job, a take's record, a model's configuration: 255 subjects with a strength a frame fit in."""
MAX_JSON_DEPTH = 32
"""Lists and objects within each other."""
MAX_JSON_KEYS = 1000
"""Of one object: a configuration's list of classes fits in."""
MAX_LINE_BYTES = 64 * 2**10
"""One line of the protocol, either way."""
MAX_LAYOUT_BYTES = 64 * 2**20
"""A file of layouts: the largest released one, LaSOT, has 20 MB."""

MAX_PICTURE_BYTES = 64 * 2**20
"""Of a picture that a clip starts from or ends with."""
MAX_PICTURE_PIXELS = 2**26
"""Width x height of such a picture: 8192 squared."""

MAX_ARCHIVE_DIRECTORY = 64 * 2**10
"""Bytes of the table of contents of masks.npz."""
MAX_ARRAY_HEADER = 10_000
"""Bytes before the values of an array."""
MAX_MODEL_FILES = 5_000
"""Files of a model's folder."""
MAX_TENSORS_HEADER = 16 * 2**20
"""Bytes before the weights of a LoRA, which name them."""
MAX_TENSORS = 50_000
"""Weights of a LoRA."""
MAX_MESSAGE = 1_500
"""Characters of a sentence for a person."""
