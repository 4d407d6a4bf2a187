"""Values, and the forms in which two of them are the same: exact for trust, loose for distrust.

leaves({"to": ["ana@x.org"]}, "")      # ("/to/0", "ana@x.org")
loose_form("ANA@x.org ") == loose_form("ana@x.org")
"""

import re
import unicodedata
from collections.abc import Iterator

from remit.core import Json
from remit.permissions._iban import joined

TEXT_CHARS_MAX = 1 << 16  # of one text, what is taken apart into tokens
TOKEN_CHARS_MIN = 4  # shorter ones are everywhere by chance
ENDINGS = ".:!?"  # what ends a sentence, and so a word in it
FOLDS_TO_MAX = 18  # characters that one character may become under NFKC (U+FDFA, Unicode Standard Annex 15)

_NUMBER_MARK = b"\xff"  # no UTF-8 text begins with it, so the number 5 is never the text `5`
_NUMBER_STARTS = frozenset("+-0123456789")
SEPARATORS = re.compile(r"[\s<>()\[\]{}\"',;|]+")
SEPARATORS_WIDE = re.compile(r"[\s<>()\[\]{}\"',;|`*\u00ab\u00bb\u2018-\u201f\u2039\u203a]+")
_DIGITS = re.compile(r"([+-]?)0*([0-9]+)(?:\.([0-9]*))?", re.ASCII)
# What takes no room on a screen: control and format characters (general categories Cc and Cf, but for white space),
# variation selectors, fillers and the grapheme joiner.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)

Scalar = str | int | float
Leaf = tuple[str, Scalar]


def leaves(value: Json, pointer: str, *, names: frozenset[str] | None = None) -> Iterator[Leaf]:
    """Walk the texts and numbers under `value`; given a schema's `names`, also the keys that are none of them."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for key, item in value.items():
            below = under(pointer, key)
            if names is not None and key not in names:
                yield below, key
            yield from leaves(item, below, names=names)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, f"{pointer}/{place}", names=names)
    elif value is not None and not isinstance(value, bool):
        yield pointer, value


def under(pointer: str, key: str) -> str:
    """Add a step to a JSON pointer (RFC 6901, section 3)."""
    if "~" in key or "/" in key:
        key = key.replace("~", "~0").replace("/", "~1")
    return f"{pointer}/{key}"


def work_of(value: Scalar) -> int:
    """Return how much there is to fold in a value, at the worst."""
    if not isinstance(value, str):
        return 1
    return len(value) if value.isascii() else len(value) * FOLDS_TO_MAX


def content_work_of(value: Scalar) -> int:
    """Return how much there is to look through in a value: few characters become more than six (NFKC)."""
    if not isinstance(value, str):
        return 1
    if value.isascii():
        return len(value)
    if unicodedata.is_normalized("NFKC", value):
        return len(value) * 2
    return len(value) * (FOLDS_TO_MAX if "\ufdfa" in value or "\ufdfb" in value else 6)


def exact_form(value: Scalar) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # one JSON number has one form here, whoever wrote it
    return _NUMBER_MARK + str(value).encode()


def tokens_of_user(text: str) -> Iterator[Scalar]:
    """Return the words of a user's text, from 4 characters on, and the numbers among them."""
    for token in dict.fromkeys(map(trimmed, SEPARATORS.split(text[:TEXT_CHARS_MAX]))):
        if len(token) >= TOKEN_CHARS_MIN:
            yield token
            number = _number_written(token)
            if number is not None:
                yield number


def _number_written(token: str) -> int | float | None:
    """Return the number that JSON would write as exactly `token`, or None."""
    if not _DIGITS.fullmatch(token) or len(token) > 17:
        return None
    number = float(token) if "." in token else int(token)
    return number if str(number) == token else None


def trimmed(token: str) -> str:
    if token[:7].casefold() == "mailto:":
        token = token[7:]
    return token.rstrip(ENDINGS)


def loose_form(value: Scalar) -> str:
    """Return the form in which look-alikes meet: `ANA@x.org ` and `ana@x.org`, `5.0` and 5, `12 34 56 78`, 12345678."""
    return number_form(joined(folded(value[:TEXT_CHARS_MAX])) if isinstance(value, str) else str(value))


def loose_tokens(text: str) -> Iterator[str]:
    """Return what `text` consists of, each part once, folded, from 4 characters on."""
    for token in dict.fromkeys(map(trimmed, SEPARATORS_WIDE.split(folded(text[:TEXT_CHARS_MAX])))):
        if len(token) >= TOKEN_CHARS_MIN:
            yield number_form(joined(token))


def plain(text: str) -> str:
    """Return `text` as it looks: without what takes no room on a screen, compatibility characters made plain (NFKC)."""
    if text.isascii() and text.replace("\n", " ").replace("\t", " ").isprintable():
        return text
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)))


def folded(text: str) -> str:
    if text.isascii():
        text = text.lower()  # (in ASCII, lower is folded)
        if " " not in text and text.isprintable():
            return text
        if text.isprintable() or text.replace("\n", " ").isprintable():
            return " ".join(text.split()) if "  " in text or "\n" in text else text.strip(" ")
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold())
    return " ".join(text.split())


def number_form(text: str) -> str:
    if text[:1] not in _NUMBER_STARTS:
        return text
    found = _DIGITS.fullmatch(text)
    if found is None:
        return text
    sign, whole, fraction = found.groups()
    digits = whole if not (places := (fraction or "").rstrip("0")) else f"{whole}.{places}"
    return f"-{digits}" if sign == "-" and digits != "0" else digits
