"""Phrases of what a user said: runs of 2 to 8 whole words of one text, with exactly what stands between them there.

Kept are hashes of neighbouring words, in order: a phrase is a run of such pairs, one place after the other. So a text
of n words takes about n hashes, whatever the length of its phrases.

    phrases = Phrases()
    phrases.learn("write to Sarah Baker, 1234 Elm Street.", seen, digest, room=100)
    phrases.find("1234 Elm Street", digest)      # seen
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise

from remit.permissions._sources import Seen
from remit.permissions._values import ENDINGS, TEXT_CHARS_MAX, TOKEN_CHARS_MIN

WORDS_MAX = 8
CHARS_MAX = 256  # of a phrase
_PLACES_MAX = 64  # of one pair of words that are tried

_CHAR, _GAP = r"[^\s<>()\[\]{}\"',;|]", r"[\s<>()\[\]{}\"',;|]"
_WORD = re.compile(f"{_CHAR}++")
_PHRASE = re.compile(f"{_CHAR}++(?:{_GAP}++{_CHAR}++){{1,{WORDS_MAX - 1}}}")

Digest = Callable[[bytes], bytes]


class Phrases:
    """The pairs of neighbouring words of a user's texts, as hashes. `len()` says how many are kept."""

    __slots__ = ("_at", "_ends", "_pairs", "_starts", "_taken", "_texts")

    def __init__(self) -> None:
        self._pairs: list[bytes] = []  # by place: a pair, with what is between its words
        self._ends: list[bytes] = []  # by place: the same, as it ends a sentence
        self._at: dict[bytes, list[int]] = {}  # by either: its places
        self._texts: list[tuple[int, Seen]] = []  # the first place of each text, and where that text is
        self._starts: set[int] = set()  # 16 bits of each beginning: a quick no for most values
        self._taken = 0

    def __len__(self) -> int:
        return self._taken

    def learn(self, text: str, seen: Seen, digest: Digest, room: int) -> int:
        """Take in the phrases of one text, at most `room` hashes; return how many that took."""
        words = [word.span() for word in _WORD.finditer(text[:TEXT_CHARS_MAX])]
        if len(text) > TEXT_CHARS_MAX:
            del words[-1:]  # (it may be cut)
        before = self._taken
        self._texts.append((len(self._pairs), seen))
        for (start, _), (second, end) in pairwise(words):
            if self._taken - before + 2 > room:
                break
            place, pair = len(self._pairs), text[start:end]
            ended = pair.rstrip(ENDINGS)
            whole = last = digest(pair.encode("utf-8", "surrogatepass"))
            if ended != pair and start + len(ended) > second:
                last = digest(ended.encode("utf-8", "surrogatepass"))
            self._pairs.append(whole)
            self._ends.append(last)
            self._starts.add(_start_of(text[start:end]))
            for form in {whole, last}:
                self._at.setdefault(form, []).append(place)
                self._taken += 1
        self._pairs.append(b"")  # INVARIANT: no pair is this, so that no phrase goes over two texts
        self._ends.append(b"")
        return self._taken - before

    def find(self, value: str, digest: Digest) -> Seen | None:
        """Return where `value` is a phrase, or None."""
        if (
            _start_of(value) not in self._starts
            or not TOKEN_CHARS_MIN <= len(value) <= CHARS_MAX
            or _PHRASE.fullmatch(value) is None
        ):
            return None
        rarest: list[int] | None = None
        offset, run = 0, list[bytes]()
        for (start, _), (_, end) in pairwise(word.span() for word in _WORD.finditer(value)):
            run.append(digest(value[start:end].encode("utf-8", "surrogatepass")))
            places = self._at.get(run[-1])
            if places is None:
                return None
            if rarest is None or len(places) < len(rarest):
                rarest, offset = places, len(run) - 1
        for place in (rarest or ())[:_PLACES_MAX]:
            if self._runs(place - offset, run):
                return self._texts[bisect_right(self._texts, place, key=_first) - 1][1]
        return None

    def _runs(self, start: int, run: list[bytes]) -> bool:
        last = start + len(run) - 1
        if start < 0 or last >= len(self._pairs) or self._pairs[start:last] != run[:-1]:
            return False
        return run[-1] in (self._pairs[last], self._ends[last])


def _start_of(value: str) -> int:
    return hash(value[:TOKEN_CHARS_MIN]) & 0xFFFF


def _first(text: tuple[int, Seen]) -> int:
    return text[0]
