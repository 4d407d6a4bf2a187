"""What is remembered for ever of a value that a call writes: the forms by which it is known again when it is read back.

Whole values, and in texts what a later reader could pick out and use: addresses, long runs of digits, ids.
Not kept, as they are everywhere by chance: fewer than 4 characters, numbers of fewer than 6 digits, and, in content,
dates and times.

    list(parts_of("ask ORD-10042 on 2026-11-22", Room()))     # ["ORD-10042"]
    mark_form("ORD-10042")                            # "ord-10042"
"""

import re
from collections.abc import Callable, Iterator

from remit.permissions._addresses import Room
from remit.permissions._links import links_in, may_name
from remit.permissions._values import (
    SEPARATORS_WIDE,
    TEXT_CHARS_MAX,
    TOKEN_CHARS_MIN,
    Scalar,
    folded,
    loose_form,
    plain,
    trimmed,
)

NUMBER_DIGITS_MIN = 6  # a shorter number is an amount or a count more often than it names anything
ID_CHARS_MIN = 6  # of letters and digits
PIECES_MAX = 1_000  # of one task; with more, whatever a record says may be made of them
PIECE_CHARS_MIN = 6  # a shorter piece is in other values by chance
PIECE_CHARS_MAX = 64  # of one piece, by which it is known again
_PIECE_LOOKS_MAX = 2_000  # times that one result is compared with a whole piece

_DIGIT = re.compile(r"[0-9]")
_RUN = re.compile(r"[0-9](?:[ .\-/()]{0,2}[0-9]){7,}")
_DATE = re.compile(r"\(?[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{1,4}(?:[t ][0-9:.+z\-]*)?")  # also with its time (RFC 3339)
_WORD = re.compile(r"[0-9A-Za-z_\-]+")
_CLOCK = re.compile(r"[0-9:.\-]+(?:am|pm|h|z)?")


def mark_form(part: Scalar) -> str:
    """Return the form in which a part is remembered; empty: it is not, as it is everywhere by chance."""
    form = loose_form(part)
    if len(form) > NUMBER_DIGITS_MIN + 3:
        return form
    counts = len(form) >= TOKEN_CHARS_MIN and not (
        0 < sum(map(str.isdigit, form)) < NUMBER_DIGITS_MIN and not any(map(str.isalpha, form))
    )
    return form if counts else ""


def parts_of(text: str, room: Room) -> Iterator[str]:
    """Return what of a text is remembered by itself, as it is seen there: addresses, long runs of digits, ids."""
    if may_name(text):
        yield from (link.written for link in links_in(text, room))
        for part in numbered(text):
            if not room.look():
                return
            yield part


class Pieces:
    """What a task wrote that may be a stranger's, piece by piece: hashes, by which a value made of pieces is known.

    A piece is remembered by its first 64 characters, folded. `full`: there were more pieces than fit.
    """

    __slots__ = ("_at", "_count", "_digest", "full")

    def __init__(self, digest: Callable[[bytes], bytes]) -> None:
        self._digest = digest
        self._at: dict[int, set[tuple[int, bytes]]] = {}
        self._count = 0
        self.full = False

    def __len__(self) -> int:
        return self._count

    def add(self, text: str) -> None:
        """Remember a piece; one that is too short to be told from others is not."""
        form = folded(text[:TEXT_CHARS_MAX])[:PIECE_CHARS_MAX]
        if len(form) < PIECE_CHARS_MIN:
            return
        self.full |= self._count >= PIECES_MAX
        if not self.full:
            self._count += 1
            self._at.setdefault(hash(form[:PIECE_CHARS_MIN]), set()).add((len(form), self._of(form)))

    def take(self, other: "Pieces") -> None:
        """Remember the pieces of another task's, which has the same key."""
        self._count += len(other)
        self.full |= other.full or self._count > PIECES_MAX
        for start, pieces in () if self.full else other._at.items():  # noqa: SLF001 - one of its own kind
            self._at.setdefault(start, set()).update(pieces)

    def holder(self) -> Callable[[Scalar], bool]:
        """Return what tells of the values of one result whether a piece is in them."""
        looks = _PIECE_LOOKS_MAX

        def holds(value: Scalar) -> bool:
            nonlocal looks
            form = folded(value[:TEXT_CHARS_MAX]) if isinstance(value, str) else str(value)
            if self.full and len(form) >= PIECE_CHARS_MIN:
                return True
            for place in range(len(form) - PIECE_CHARS_MIN + 1):
                for length, digest in self._at.get(hash(form[place : place + PIECE_CHARS_MIN]), ()):
                    looks -= 1
                    if looks < 0 or self._of(form[place : place + length]) == digest:
                        return True
            return False

        return holds

    def _of(self, form: str) -> bytes:
        return self._digest(form.encode("utf-8", "surrogatepass"))


def numbered(text: str) -> Iterator[str]:
    """Return the long runs of digits in a text, and the ids: words with a digit."""
    if not text.isascii():
        text = plain(text[:TEXT_CHARS_MAX])
    for run in _RUN.finditer(text):
        if not _DATE.match(run[0]):
            yield run[0]
    for chunk in _chunks_with_digits(text):
        if len(chunk) < ID_CHARS_MIN:
            continue
        for token in (chunk,) if _WORD.fullmatch(chunk) else map(trimmed, SEPARATORS_WIDE.split(chunk)):
            if len(token) >= ID_CHARS_MIN and _DIGIT.search(token) and not is_date(token):
                yield token


def _chunks_with_digits(shown: str) -> Iterator[str]:
    found = _DIGIT.search(shown)
    if found is None:
        return
    flat = shown.replace("\n", " ")
    if not flat.isprintable():
        flat = " ".join(flat.split())
    found = _DIGIT.search(flat)
    while found is not None:
        start, end = flat.rfind(" ", 0, found.start()) + 1, flat.find(" ", found.start())
        yield flat[start:] if end < 0 else flat[start:end]
        found = None if end < 0 else _DIGIT.search(flat, end)


def is_date(token: str) -> bool:
    """Tell whether `token` is a date, a time or both."""
    return _DIGIT.match(token) is not None and (
        _DATE.fullmatch(token.lower()) is not None or (len(token) < 9 and _CLOCK.fullmatch(token.lower()) is not None)
    )
