"""How a hold names places: pointers and lists of them, fit to be read by whoever decides."""

from collections.abc import Sequence

WITHIN_S = 86_400  # how long a hold for provenance waits
SAID_MAX = 3  # values that a hold's message names

_SHOWN_CHARS_MAX = 120  # of a pointer in a message


def shown(pointer: str) -> str:
    """Make a pointer fit to be read: its keys may be a stranger's words."""
    safe = unquoted(pointer[:_SHOWN_CHARS_MAX])
    return f"{safe}..." if len(pointer) > _SHOWN_CHARS_MAX else safe


def unquoted(name: str) -> str:
    """Return `name` without what would end its quotes or its line."""
    return "".join(char if char.isprintable() and char != "`" else "?" for char in name)


def listing(said: Sequence[str], most: int) -> str:
    """Return the first sentences, and how many more there are."""
    message = "; ".join(said[:most])
    return f"{message}; and {len(said) - most} more" if len(said) > most else message
