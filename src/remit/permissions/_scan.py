"""Cut a file of Cedar text into its policies, before Cedar sees any of it.

Two reasons: Cedar's errors carry no position, so each policy is checked alone and its line is known; and Cedar's
parser recurses, so text nested some hundred levels deep would end the process (no exception, a stack overflow).
Whatever is cut, each piece must parse as exactly one policy, so a wrong cut is an error and never a lost policy.

    scan("policies/refunds.cedar", text)[0].line        # where its first policy begins
"""

import re
from dataclasses import dataclass
from itertools import pairwise

FILE_BYTES_MAX = 256 * 1024  # one file, UTF-8
POLICIES_MAX = 1000  # of one agent, all files together
DEPTH_MAX = 32  # open brackets in one policy; Cedar's parser fails at about 160 on a stack of 2 MiB
OPERATORS_MAX = 250  # in one policy; chains of them nest too, and fail at about 320

_TOKEN = re.compile(r'//[^\r\n]*|"(?:[^"\\]|\\.)*"?|[;()\[\]{}]|&&|\|\||[.+*!-]|\bif\b', re.DOTALL)
_OPENERS, _CLOSERS = frozenset("([{"), frozenset(")]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The text of one policy, comments blanked, with the line its first token stands on and what it nests."""

    file: str
    line: int
    text: str
    depth: int
    operators: int

    def line_of(self, pattern: str) -> int:
        """Return the line of the first match of the regular expression `pattern`, else the policy's first line."""
        found = re.search(pattern, self.text)
        return self.line_at(found.start()) if found else self.line

    def line_at(self, offset: int) -> int:
        """Return the line of the character at `offset`."""
        return self.line + self.text.count("\n", 0, offset)


def scan(file: str, text: str) -> list[Piece]:
    """Cut `text` after each `;` outside strings and comments; what follows the last one is a piece unless blank."""
    plain = _without_comments(text)
    cuts = [0, *(token.end() for token in _TOKEN.finditer(plain) if token[0] == ";"), len(plain)]
    pieces: list[Piece] = []
    line = 1
    for start, end in pairwise(cuts):
        whole = plain[start:end]
        blank = len(whole) - len(whole.lstrip())
        if blank < len(whole):
            depth, operators = _measured(whole)
            first = line + whole.count("\n", 0, blank)
            pieces.append(Piece(file=file, line=first, text=whole[blank:], depth=depth, operators=operators))
        line += whole.count("\n")
    return pieces


def _measured(text: str) -> tuple[int, int]:
    """Return how deep the brackets of `text` nest, and how many operators it has."""
    depth = deepest = operators = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in _OPENERS:
            depth += 1
            deepest = max(deepest, depth)
        elif mark in _CLOSERS:
            depth -= 1
        elif mark != ";" and not mark.startswith('"'):
            operators += 1
    return deepest, operators


def _without_comments(text: str) -> str:
    return _TOKEN.sub(lambda token: " " * len(token[0]) if token[0].startswith("//") else token[0], text)
