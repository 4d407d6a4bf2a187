"""How a tool server of this machine may be started: a program and its arguments, and never a credential among them.

Every process of the machine can read a command's arguments, and project files are shared; so a key has no place there.
"""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from remit.adapters.project._urls import Wrong, has_credentials

_OPTION = re.compile(r"(?:--?)?([A-Za-z][A-Za-z0-9_.-]*)(?:=.*)?", re.DOTALL)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_SECRETS = frozenset(
    {"key", "apikey", "token", "secret", "password", "passwd", "pwd", "auth", "authorization", "bearer", "credential"}
    | {"credentials", "pat"}
)
_ELSEWHERE = frozenset({"file", "path", "dir"})  # `--key-file x.pem` says where a key is, and not the key
# The shapes of well-known keys, wherever they stand; and what an HTTP header that carries one looks like.
KEY_SHAPE = re.compile(r"\b(sk-|ghp_|gho_|ghs_|github_pat_|glpat-|xox[abp]-|AKIA[0-9A-Z]{12}|eyJ[A-Za-z0-9_-]{10})")
_HEADER = re.compile(r"authorization\s*:|\b(bearer|basic)\s+\S|-(key|token)\s*:", re.IGNORECASE)


def command_wrong(command: Sequence[str]) -> tuple[int, Wrong] | None:
    """Say which element of `command` cannot stand there, and why; None when every one can."""
    for index, element in enumerate(command):
        if not element or not element.isprintable():
            fix = "write each argument as one line of visible characters"
            return index, ("tool_command_invalid", "an empty argument, or one with characters nobody can see", fix)
        if any(_secrets(element)):
            message = "an argument looks like a credential: credentials never go into project files"
            fix = "take it out, and treat it as known to others if the file was shared"
            return index, ("tool_command_credentials", message, fix)
    return None


def _secrets(element: str) -> Iterator[bool]:
    yield KEY_SHAPE.search(element) is not None
    yield _HEADER.search(element) is not None
    yield _is_address_with_credentials(element)
    named = _OPTION.fullmatch(element)
    if named is not None and (element.startswith("-") or "=" in element):
        words = {word.lower() for word in _WORDS.findall(named[1])}
        yield bool(words & _SECRETS) and not words & _ELSEWHERE


def _is_address_with_credentials(element: str) -> bool:
    """Tell whether `element`, or what follows its `=`, is a URL with a name, a password or a key in it."""
    address = element.partition("=")[2] if element.partition("://")[0].count("=") else element
    if "://" not in address:
        return False
    try:
        return has_credentials(urlsplit(address))
    except ValueError:
        return True  # what cannot be read cannot be shown to be harmless
