"""Names and ids: ASCII only, so that no two of them look alike by accident or design."""

import re

from remit.core._call import Trace

NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
"""Operations, tools, agents, use cases, persons: lower-case ASCII, 1 to 64 characters."""

_NAME = re.compile(NAME_PATTERN, re.ASCII)
_USER = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,63}(:[!-~]{1,255})?$", re.ASCII)
_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$", re.ASCII)


def is_name(text: object) -> bool:
    """Tell whether `text` is a name by `NAME_PATTERN`. A trailing line feed is not."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_user(text: object) -> bool:
    """Tell whether `text` names a user: a name, or the name of an issuer, a colon and the issuer's own name for them.

    An issuer's own name (`sub`, OpenID Connect Core, section 2) is 1 to 255 visible ASCII characters, kept as it is.
    """
    return isinstance(text, str) and _USER.fullmatch(text) is not None


def new_id(prefix: str, random: bytes) -> str:
    """Make an id such as `t_5f0c…` from at least 12 random bytes, given by the caller."""
    return f"{prefix}_{random[:12].hex()}"


def new_trace(random: bytes) -> Trace:
    """Make trace ids from 24 random bytes, given by the caller (W3C Trace Context, section 3.2.2)."""
    return Trace(random[:16].hex(), random[16:24].hex())


def parse_traceparent(text: object, random: bytes) -> Trace:
    """Join the caller's trace if `text` is a valid `traceparent`, else start a new one from 24 random bytes.

    An invalid header starts a new trace and is no error (W3C Trace Context, section 4.3).
    """
    found = _TRACEPARENT.fullmatch(text) if isinstance(text, str) else None
    if found is None or found[1] == "0" * 32 or found[2] == "0" * 16:
        return new_trace(random)
    return Trace(found[1], random[16:24].hex())
