"""What is remembered for ever of a value that a call writes: the forms by which it is known again when it is read back.

Whole values, and in texts what a later reader could pick out and use: addresses, long runs of digits, ids.
Not kept, as they are everywhere by chance: fewer than 4 characters, numbers of fewer than 6 digits, and, in content,
dates and times.

    list(parts_of("ask ORD-10042 on 2026-11-22"))     # ["ORD-10042"]
    mark_form("ORD-10042")                            # "ord-10042"
"""

import re
from collections.abc import Iterator

from remit.permissions._links import links_in, may_name
from remit.permissions._values import (
    SEPARATORS_WIDE,
    TEXT_CHARS_MAX,
    TOKEN_CHARS_MIN,
    Scalar,
    loose_form,
    plain,
    trimmed,
)

NUMBER_DIGITS_MIN = 6  # a shorter number is an amount or a count more often than it names anything
ID_CHARS_MIN = 6  # of letters and digits

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


def parts_of(text: str) -> Iterator[str]:
    """Return what of a text is remembered by itself, as it is seen there: addresses, long runs of digits, ids."""
    if may_name(text):
        yield from (link.written for link in links_in(text))
        yield from numbered(text)


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
