# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sentence says of the camera."""

from __future__ import annotations

from . import lexicon
from .plan import MOVES, Camera
from .words import Words

_WAYS = {
    "to the left": "left", "to the right": "right", "left": "left", "right": "right",
    "inwards": "in", "in": "in", "forwards": "in", "forward": "in", "closer": "in",
    "outwards": "out", "out": "out", "backwards": "out", "back": "out", "away": "out",
    "upwards": "up", "up": "up", "downwards": "down", "down": "down",
    "still": "", "static": "", "fixed": "", "steady": "",
}  # fmt: skip
_OWN_WAY = {"push": "in", "pull": "out", "rise": "up", "sink": "down"}
_AMOUNTS = {"slow": 0.15, "": 0.3, "fast": 0.5}
_LITTLE = ("slightly", "a little", "a bit")


def read_camera(words: Words, ends: tuple[str, ...]) -> Camera | None:
    """Read a part such as "the camera slowly moves in"; None where the next words speak of something else.

    Args:
        words: at the start of the part.
        ends: words that may follow it.

    Raises:
        EngineError: ``not_understood``, with the words.
    """
    begun = words.at
    words.take("with the", "with a", "the", "a")
    speed = _adverbs(words, "")
    if words.low() == "camera":
        words.at += 1
    elif not words.ahead("zoom", "zooms", "zooming"):
        words.at = begun
        return None
    speed = _adverbs(words, speed)
    words.take("is")
    speed = _adverbs(words, speed)
    verb = words.low() if words.low() in lexicon.CAMERA_VERBS else ""
    if not verb and not words.ahead(*_WAYS):
        words.at = begun
        words.refuse('say how the camera moves, such as "the camera moves in" or "the camera pans left"')
    words.at += bool(verb)
    way = ""
    while not words.at_stop():
        before = words.at
        speed = _adverbs(words, speed)
        way = _WAYS[found] if (found := words.take(*_WAYS)) else way
        if words.at == before:
            break
    if not words.at_stop() and not words.ahead(*ends):
        words.refuse("leave that out of what the camera does")
    way = way or next((own for start, own in _OWN_WAY.items() if verb.startswith(start)), "")
    kind = next((f"{name} " for name in ("pan", "tilt") if verb.startswith(name)), "")
    move = next((move for move in MOVES if move == kind + way), None)
    if move is None:
        if way or kind or verb.startswith(("mov", "zoom", "doll", "truck", "go")):
            words.refuse(
                "say where the camera goes: in, out, left, right, up or down", words.slice(begun, words.at)
            )
        return Camera()
    return Camera(move=move, amount=_AMOUNTS[speed])


def _adverbs(words: Words, speed: str) -> str:
    while ((low := words.low()) in lexicon.SPEEDS and low != "still") or words.ahead(*_LITTLE):
        if words.take(*_LITTLE):
            speed = "slow"
        else:
            speed = lexicon.SPEEDS[low] or speed
            words.at += 1
    return speed
