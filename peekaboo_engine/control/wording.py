# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a phrase stands in a text, as people write and paste texts.

What looks alike is one spelling: composed and decomposed letters, full width, curly quotes, no-break spaces.
Phrases are whole words, but in scripts without spaces between words, where any place may begin or end one,
and Korean words keep the particles that are written onto them. The add-on's ``shot/phrases.py`` finds the
same, in a Python of its own: tests/goldens/phrases.json has the cases that both are held to.
"""

import re
import unicodedata

ALIKE = str.maketrans("‘’ʼ“”‐‑", "'''\"\"--", "\u00ad\u200c\u200d\u2060\ufeff")
"""Quotes and hyphens of one meaning; and what is not seen and parts nothing: soft hyphens and joiners."""
SPACE = "\u200b"
"""Is not seen either, but stands between words."""
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, whose words stand without spaces."""
HANGUL = "\uac00-\ud7a3"
BEGINS = rf"(?:(?<!\w)|(?<=[{UNSPACED}])|(?=[{UNSPACED}]))"
ENDS = rf"(?:(?!\w)|(?<=[{UNSPACED}{HANGUL}])|(?=[{UNSPACED}{HANGUL}]))"


def key_of(phrase: str) -> str:
    """What two phrases have in common that are one: the same words in any case."""
    return " ".join(_folded(phrase)[0].replace(SPACE, " ").lower().split())


def occurrences(text: str, phrase: str) -> list[tuple[int, int]]:
    """Find a phrase in a text: its ranges [start, end) of characters."""
    folded, places = _folded(text)
    words = _folded(phrase)[0].split()
    pattern = rf"[\s{SPACE}]+".join(_pattern(word) for word in words)
    return [
        (places[match.start()][0], places[match.end() - 1][1])
        for match in re.finditer(BEGINS + pattern + ENDS, folded, flags=re.IGNORECASE)
        if match.group() and not unicodedata.category(folded[match.end() :][:1] or " ").startswith("M")
    ]


def _pattern(word: str) -> str:
    """Of one word, within which spaces that are not seen may be or not."""
    parts = [f"{SPACE}*".join(map(re.escape, part)) for part in word.split(SPACE)]
    return rf"[\s{SPACE}]*".join(parts)


def _folded(text: str) -> tuple[str, list[tuple[int, int]]]:
    """One spelling of a text, and for each of its characters the range of the text that it stands for."""
    folded, places, start = "", [], 0
    while start < len(text):
        end = start + 1
        while end < len(text) and _belongs(text[start:end], text[end]):
            end += 1
        spelled = unicodedata.normalize("NFKC", text[start:end]).translate(ALIKE)
        folded += spelled
        places += [(start, end)] * len(spelled)
        start = end
    return folded, places


def _belongs(letter: str, following: str) -> bool:
    """Whether a character goes on with the letter before it, as accents do, and parts of a syllable."""
    composed = unicodedata.normalize("NFC", letter + following)
    return bool(unicodedata.combining(following)) or len(composed) == 1
