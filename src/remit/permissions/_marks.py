"""What is remembered for ever of a value that a call writes: the forms by which it is known again when it is read back.

Whole values, and in texts what a later reader could pick out and use: addresses, long runs of digits, ids.
Not kept, as they are everywhere by chance: fewer than 4 characters, numbers of fewer than 6 digits, and, in content,
dates and times.

    [form for _, form in mark_forms("ask ORD-10042", content=True)]    # ["ask ord-10042", "ord-10042"]
"""

import re
from collections.abc import Iterator

from remit.permissions._iban import joined
from remit.permissions._links import links_in
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


def mark_forms(value: Scalar, *, content: bool) -> Iterator[tuple[Scalar | None, str]]:
    """Return each part of `value` that is remembered: as it stands there (None: not as it stands), and its loose form.

    The whole comes first. `content`: it is outgoing text, in which dates say nothing.
    """
    whole = loose_form(value)
    if _counts(whole) and not (content and _is_date(str(value).strip())):
        yield value, whole
    if isinstance(value, str):
        yield from _parts(value)


def _parts(text: str) -> Iterator[tuple[Scalar | None, str]]:
    for link in links_in(text):
        yield None if link.hidden else link.written, loose_form(link.written)
    if not _DIGIT.search(text) and text.isascii():
        return
    shown = plain(text[:TEXT_CHARS_MAX])
    for run in _RUN.finditer(shown):
        if not _DATE.match(run[0]):
            yield run[0], number_form(joined(folded(run[0])))
    for chunk in dict.fromkeys(shown.split()):
        if not chunk.isalpha() and _DIGIT.search(chunk):
            for token in map(trimmed, SEPARATORS_WIDE.split(chunk)):
                if len(token) >= ID_CHARS_MIN and _DIGIT.search(token) and not _is_date(token):
                    form = loose_form(token)
                    if _counts(form):
                        yield token, form


def _counts(form: str) -> bool:
    if len(form) < TOKEN_CHARS_MIN:
        return False
    return len(form) > NUMBER_DIGITS_MIN + 3 or not _is_short_number(form)


def _is_short_number(form: str) -> bool:
    digits = sum(map(str.isdigit, form))
    return digits < NUMBER_DIGITS_MIN and digits > 0 and not any(map(str.isalpha, form))


def _is_date(token: str) -> bool:
    return _DIGIT.match(token) is not None and (
        _DATE.fullmatch(token.lower()) is not None or (len(token) < 9 and _CLOCK.fullmatch(token.lower()) is not None)
    )
