# SPDX-License-Identifier: GPL-3.0-or-later
"""Noun phrases: new things, things that were named before, and how many of them."""

from __future__ import annotations

from . import lexicon
from .plan import MAX_SUBJECTS
from .reading import Actor, Reading
from .words import Word, Words

_MANY = {"a pair of": 2, "a couple of": 2, "a group of": 3, "a row of": 3, "a few": 3, "lots of": 5}
_MOST_WORDS = 5
_VERBS = (
    "use a verb of motion that it knows, such as moves, rolls, walks, flies, jumps, waits, grows or "
    "leaves, and begin a new part with a comma"
)
_NOUN = 'name a thing by a noun, such as "a red ball"'


class Nouns:
    """Reads noun phrases off the words, and keeps who was spoken of last."""

    def __init__(self, words: Words, reading: Reading):
        self.words = words
        self.reading = reading
        self.spoken: tuple[str, ...] = tuple(actor.id for actor in reading.actors[-1:])
        self.before: tuple[str, ...] = ()
        self._groups = max((actor.group for actor in reading.actors), default=0)

    def speak_of(self, who: tuple[str, ...]) -> None:
        """Keep who a part is about: "it" is them as a subject, and whoever was before as an object."""
        if who != self.spoken:
            self.before, self.spoken = self.spoken, who

    def read_object(self) -> tuple[str, ...]:
        """Read a noun phrase that is not what the part is about."""
        words = self.words
        if words.low() in lexicon.PRONOUNS and self.before:
            words.at += 1
            return self.before
        return self.read()

    def ahead(self) -> bool:
        """Whether a noun phrase comes next."""
        low = self.words.low()
        if low in lexicon.DETERMINERS or low in lexicon.NUMBERS or low in lexicon.PRONOUNS or low.isdecimal():
            return True
        return low[:1].isalpha() and not is_no_noun(low)

    def known_ahead(self) -> bool:
        """Whether it names a thing that was named before."""
        words, begun = self.words, self.words.at
        if words.low() in lexicon.PRONOUNS:
            return True
        if words.low() not in lexicon.DETERMINERS:
            return False
        words.at += 1
        lows = []
        while not words.at_stop() and not is_no_noun(words.low()):
            lows.append(words.low())
            words.at += 1
        words.at = begun
        names = {actor.noun for actor in self.reading.actors}
        return bool(lows) and lexicon.singular(lows[-1]) in names

    def read(self) -> tuple[str, ...]:
        """Read one noun phrase; returns the ids of the subjects that it names, made where they are new.

        Raises:
            EngineError: ``not_understood``, with the words.
        """
        words, begun = self.words, self.words.at
        if word := words.take(*lexicon.PRONOUNS):
            return self._pronoun(word, begun)
        if words.take("the other one", "the others", "the other"):
            return self._other(begun)
        count, definite = self._determiner()
        first = words.at
        if count == 1 and words.low(-1) == "one" and (words.at_stop() or is_no_noun(words.low())):
            return self._one(begun)
        self._take_noun(first)
        if words.at == first:
            words.at = begun
            words.refuse(_NOUN)
        taken = words.words[first : words.at]
        self._check(begun, taken, count, definite)
        return self._known(taken, count, definite) or self._new(taken, count)

    def _pronoun(self, word: str, begun: int) -> tuple[str, ...]:
        if not self.spoken:
            self.words.at = begun
            self.words.refuse("name somebody before a word that stands for them")
        if word in {"they", "them", "both"} and len(self.spoken) < 2:
            return tuple(actor.id for actor in self.reading.actors)
        return self.spoken

    def _determiner(self) -> tuple[int, bool]:
        """How many (0: it does not say), and whether known ones are meant."""
        words = self.words
        for said, count in _MANY.items():
            if words.take(said):
                return count, False
        definite = words.low() in lexicon.DETERMINERS
        words.at += definite
        low = words.low()
        if low.isdecimal() or low in lexicon.NUMBERS:
            count = int(low[:6]) if low.isdecimal() else lexicon.NUMBERS[low]
            if not 0 < count <= MAX_SUBJECTS:
                words.refuse(f"a plan has 1 to {MAX_SUBJECTS} subjects, so name fewer of them")
            words.at += 1
            return count, definite
        return 0, definite

    def _take_noun(self, first: int) -> None:
        words = self.words
        while not words.at_stop():
            low = words.low()
            if not (low.isascii() and low.replace("-", "").replace("'", "").isalpha()):
                if not low.isascii():
                    words.refuse("say it in English")
                return
            only_adjectives = all(word.low in lexicon.ADJECTIVES for word in words.words[first : words.at])
            # "a blue circle", "a fly", "a running dog": a verb's form where only a noun can be
            may_be_noun = low in lexicon.BASES or low in lexicon.THINGS or low.endswith("ing")
            if words.at > first and (
                low in lexicon.DETERMINERS or low in {"a", "an"} or low in lexicon.NUMBERS
            ):
                return
            if is_no_noun(low) and not (only_adjectives and low in lexicon.ACTS and may_be_noun):
                return
            words.at += 1

    def _check(self, begun: int, taken: list[Word], count: int, definite: bool) -> None:
        """Refuse what looks as if a verb that is not known had been read as a noun: "a dog gallops"."""
        words, lows = self.words, [word.low for word in taken]
        head = lows[-1]
        if len(lows) > _MOST_WORDS:
            words.refuse(_VERBS, words.slice(begun, words.at))
        if len(lows) == 1 or head in lexicon.NOUNS_LIKE_VERBS or head in lexicon.THINGS:
            return
        before = lows[-2]
        if before in lexicon.ADJECTIVES:
            return
        third_person = head.endswith("s") and not head.endswith("ss") and count in {0, 1}
        after_plural = (
            before.endswith("s") and not before.endswith("ss") and before not in lexicon.NOUNS_LIKE_VERBS
        )
        after_known = before in lexicon.THINGS and lexicon.singular(head) not in lexicon.THINGS
        bare_plural = third_person and not definite and count == 0 and not after_plural and not after_known
        if head.endswith(("ing", "ed")) or after_plural or after_known or (third_person and not bare_plural):
            words.refuse(_VERBS, head)

    def _known(self, taken: list[Word], count: int, definite: bool) -> tuple[str, ...]:
        """The subjects named before that a phrase means: "the ball", "the two balls"."""
        if not definite:
            return ()
        lows = [word.low for word in taken]
        noun, plural = lexicon.singular(lows[-1]), lexicon.singular(lows[-1]) != lows[-1]
        found = tuple(
            actor.id
            for actor in self.reading.actors
            if actor.noun == noun and set(lows[:-1]) <= set(actor.adjectives)
        )
        return found[: count or len(found)] if plural else found[:1]

    def _new(self, taken: list[Word], count: int) -> tuple[str, ...]:
        words, lows = self.words, [word.low for word in taken]
        noun = lexicon.singular(lows[-1])
        count = count or (3 if noun != lows[-1] else 1)
        phrase = words.text[taken[0].start : taken[-1].end]
        if len(self.reading.actors) + count > MAX_SUBJECTS:
            words.refuse(f"a plan has at most {MAX_SUBJECTS} subjects, so name fewer", phrase)
        self._groups += 1
        made = []
        for number in range(count):
            name = self._free_name(f"{phrase} {number + 1}" if count > 1 else phrase)
            self.reading.actors.append(Actor(name, phrase, noun, tuple(lows[:-1]), self._groups))
            made.append(name)
        return tuple(made)

    def _free_name(self, wanted: str) -> str:
        base = "".join(letter if letter.isalnum() else " " for letter in wanted.lower())[:50].strip()
        names, name, number = {actor.id for actor in self.reading.actors}, base, 2
        while name in names:
            name, number = f"{base} {number}", number + 1
        return name

    def _last_group(self) -> tuple[str, ...]:
        actors = self.reading.actors
        alike = tuple(actor.id for actor in actors if actor.group == actors[-1].group)
        return alike if len(alike) > 1 else tuple(actor.id for actor in actors[-2:])

    def _one(self, begun: int) -> tuple[str, ...]:
        if not self.reading.actors:
            self.words.at = begun
            self.words.refuse(_NOUN)
        return self._last_group()[:1]

    def _other(self, begun: int) -> tuple[str, ...]:
        words = self.words
        group = self._last_group() if self.reading.actors else ()
        if len(group) < 2:
            words.at = begun
            words.refuse('name two things before "the other"')
        if words.low(-1) == "other" and not words.at_stop() and not is_no_noun(words.low()):
            words.at += 1  # "the other ball"
        doing = {
            name
            for action in self.reading.actions
            if len(action.subjects) < len(group)
            for name in action.subjects
        }
        rest = tuple(name for name in group if name not in doing)
        return rest if words.low(-1) == "others" else rest[:1] or group[1:2]


def is_no_noun(low: str) -> bool:
    """Whether a word has a place in the grammar that is no noun's."""
    return (
        low in lexicon.ACTS
        or low in lexicon.AUXILIARIES
        or low in lexicon.SPEEDS
        or low in lexicon.LINKS
        or low in lexicon.DIRECTIONS
        or low in lexicon.PRONOUNS
        or (low.endswith("ly") and low not in lexicon.THINGS and low not in lexicon.NOUNS_LIKE_VERBS)
    )
