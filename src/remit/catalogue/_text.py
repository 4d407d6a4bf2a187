"""Text that a model reads must be text that a reviewer sees.

Refused: control characters but line feed and tab, format characters (zero-width, bidirectional, tags), private use,
surrogates, noncharacters, line and paragraph separators, blanks that are letters, and variation selectors but one
after a visible character. Such characters have carried hidden instructions to models past the people who reviewed
them (Unicode TR36; TR39, section 3).
"""

import unicodedata

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters and marks with no ink
_STYLE = frozenset("\ufe0e\ufe0f")  # text or emoji presentation: one after a character is ordinary writing
_KINDS = {
    "Cc": "control",
    "Cf": "invisible format",
    "Co": "private-use",
    "Cs": "surrogate",
    "Zl": "line-separator",
    "Zp": "paragraph-separator",
}


def unsafe_character(character: str) -> str | None:
    """Name what is wrong with one `character`, such as `invisible format character U+200B`; None when nothing is."""
    if character.isascii() and (character.isprintable() or character in "\n\t"):
        return None
    kind = _KINDS.get(unicodedata.category(character))
    point = ord(character)
    if kind is None and (character in _INVISIBLE or 0xFE00 <= point <= 0xFE0D or 0xE0100 <= point <= 0xE01EF):
        kind = "invisible"
    if kind is None and ((point & 0xFFFE) == 0xFFFE or 0xFDD0 <= point <= 0xFDEF):
        kind = "non"
    return None if kind is None else f"{kind} character U+{point:04X}"


def unsafe_text(text: str) -> str | None:
    """Name the first character of `text` that a reviewer would not see; None when all of it is visible."""
    if text.isascii() and text.isprintable():
        return None
    before = "\ufe0f"
    for character in text:
        if character in _STYLE and before in _STYLE:
            return f"variation selector U+{ord(character):04X} with nothing to style"
        found = unsafe_character(character)
        if found:
            return found
        before = character
    return None


def visible_text(text: str) -> str:
    """Write `text` on one line, with an escape such as JSON's for everything in it that a reader would not see.

    Line feed, tab and every presentation selector are written so as well.
    """
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    if unsafe_character(character) is None and character not in _STYLE and character not in "\n\t":
        return character
    point = ord(character)
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
