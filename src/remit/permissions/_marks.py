"""What is remembered for ever of a value that a call writes: the forms by which it is known again when it is read back.

Whole values, and in texts what a later reader could pick out and use: addresses, long runs of digits, ids.
Not kept, as they are everywhere by chance: fewer than 4 characters, numbers of fewer than 6 digits, and, in content,
dates and times.

    [form for _, form in mark_forms("ask ORD-10042", content=True)]    # ["ask ord-10042", "ord-10042"]
"""

import re
from collections.abc import Iterator, Sequence

from remit.permissions._iban import joined
from remit.permissions._links import Address, links_in
from remit.permissions._values import (
    SEPARATORS_WIDE,
    TEXT_CHARS_MAX,
    TOKEN_CHARS_MIN,
    Scalar,
    folded,
    loose_form,
    number_form,
    plain,
    trimmed,
)

NUMBER_DIGITS_MIN = 6  # a shorter number is an amount or a count more often than it names anything
ID_CHARS_MIN = 6  # of letters and digits

_DIGIT = re.compile(r"[0-9]")
_RUN = re.compile(r"[0-9](?:[ .\-/()]{0,2}[0-9]){7,}")
_DATE = re.compile(r"\(?[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{1,4}(?:[t ][0-9:.+z\-]*)?")  # also with its time (RFC 3339)
_CLOCK = re.compile(r"[0-9:.\-]+(?:am|pm|h|z)?")


def mark_forms(
    value: Scalar, *, content: bool, links: Sequence[Address] | None = None
) -> Iterator[tuple[Scalar | None, str]]:
    """Return each part of `value` that is remembered: as it stands there (None: not as it stands), and its loose form.

    The whole comes first. `content`: it is outgoing text, in which dates say nothing. `links` are the addresses in it,
    where they are known.
    """
    whole = loose_form(value)
    if _counts(whole) and not (content and _is_date(str(value).strip())):
        yield value, whole
    if isinstance(value, str):
        for link in links_in(value) if links is None else links:
            yield None if link.hidden else link.written, loose_form(link.written)
        if not value.isascii() or _DIGIT.search(value):
            yield from _numbered(plain(value[:TEXT_CHARS_MAX]))


def _numbered(shown: str) -> Iterator[tuple[Scalar | None, str]]:
    """Return the long runs of digits in a text, and the ids: words with a digit."""
    for run in _RUN.finditer(shown):
        if not _DATE.match(run[0]):
            yield run[0], number_form(joined(folded(run[0])))
    for chunk in _chunks_with_digits(shown):
        for token in map(trimmed, SEPARATORS_WIDE.split(chunk)):
            if len(token) >= ID_CHARS_MIN and _DIGIT.search(token) and not _is_date(token):
                form = loose_form(token)
                if _counts(form):
                    yield token, form


def _chunks_with_digits(shown: str) -> Iterator[str]:
    flat = shown if shown.isprintable() else " ".join(shown.split())
    found = _DIGIT.search(flat)
    while found is not None:
        start, end = flat.rfind(" ", 0, found.start()) + 1, flat.find(" ", found.start())
        yield flat[start:] if end < 0 else flat[start:end]
        found = None if end < 0 else _DIGIT.search(flat, end)


def _counts(form: str) -> bool:
    if len(form) > NUMBER_DIGITS_MIN + 3:
        return True
    return len(form) >= TOKEN_CHARS_MIN and not (
        0 < sum(map(str.isdigit, form)) < NUMBER_DIGITS_MIN and not any(map(str.isalpha, form))
    )


def _is_date(token: str) -> bool:
    return _DIGIT.match(token) is not None and (
        _DATE.fullmatch(token.lower()) is not None or (len(token) < 9 and _CLOCK.fullmatch(token.lower()) is not None)
    )
