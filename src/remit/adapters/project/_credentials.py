"""What a tool knows our calls by, as its file says; a secret is only ever referred to, and never repeated.

for path, (code, message, fix) in wrong_credential(entry, has_headers=True):
    ...
credential_of(entry)        # Secret(source="env", name="ORDERS_KEY")
"""

import re
from collections.abc import Iterator
from posixpath import normpath

from remit.adapters.project._commands import KEY_SHAPE
from remit.adapters.project._mistakes import SECRET_SAID, looks_secret, nearest
from remit.adapters.project._models import CredentialEntry
from remit.adapters.project._sources import TOP
from remit.adapters.project._urls import Wrong, address_wrong
from remit.adapters.project._yaml import Path
from remit.catalogue import (
    Exchanged,
    Minted,
    Secret,
    ToolCredential,
    credential_header_wrong,
    credential_scheme_wrong,
)

AUTHORIZATION = "authorization"
BEARER = "Bearer"
SOURCES = ("env", "file", "keyring")

_KINDS = ("minted", "exchanged", "secret")
_SOURCE = re.compile(r"([a-z][a-z_-]{0,15}):(.*)", re.ASCII | re.DOTALL)
_NAMES = {
    "env": (re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII), "env:NAME", "a variable's name, such as ORDERS_KEY"),
    "file": (re.compile(r"[^\x00-\x1f\x7f]{1,400}"), "file:PATH", "a path from the project's folder, or from `/`"),
    "keyring": (re.compile(r"[!-~]{1,128}/[!-.0-~]{1,128}", re.ASCII), "keyring:SERVICE/USER", "a service and a user"),
}


def credential_of(entry: CredentialEntry) -> ToolCredential:
    """Return what `entry`, which `wrong_credential` finds nothing wrong with, says."""
    if entry.exchanged is not None:
        asked = entry.exchanged
        return Exchanged(
            token_endpoint=asked.token_endpoint,
            client_id=asked.client_id,
            audience=asked.audience,
            scopes=tuple(asked.scopes),
        )
    if entry.secret is None:
        return Minted(sequence=entry.minted is not None and entry.minted.sequence)
    source, _, name = entry.secret.partition(":")
    header = (entry.header or AUTHORIZATION).lower()
    usual = BEARER if header == AUTHORIZATION else ""
    return Secret(source=source, name=name, header=header, scheme=usual if entry.scheme is None else entry.scheme)


def wrong_credential(entry: CredentialEntry, *, has_headers: bool) -> Iterator[tuple[Path, Wrong]]:
    """Find what is wrong with `entry`. A tool that a command starts `has_headers` not: its calls are lines."""
    given = [kind for kind in _KINDS if getattr(entry, kind) is not None]
    if len(given) != 1:
        said = " and ".join(f"`{kind}`" for kind in given) or "none of `minted`, `exchanged` and `secret`"
        yield (), ("credential_unclear", f"{said}: expected one of the three", "keep the one that the tool expects")
    if entry.exchanged is not None:
        wrong = address_wrong(entry.exchanged.token_endpoint)
        if wrong:
            yield ("exchanged", "token_endpoint"), wrong
    if entry.secret is not None:
        wrong = wrong_reference(entry.secret)
        if wrong:
            yield ("secret",), wrong
    yield from _wrong_header(entry, has_headers=has_headers)


def wrong_reference(text: str) -> Wrong | None:
    """Find what is wrong with `text`, which says where a secret is kept; nothing that it says is repeated."""
    found = _SOURCE.fullmatch(text)
    if found is None or _is_secret(*found.groups()):
        return SECRET_SAID
    source, name = found.groups()
    if source not in SOURCES:
        message = f"expected env:NAME, file:PATH or keyring:SERVICE/USER{nearest(source, SOURCES)}"
        return "credential_source_unknown", message, "say where the secret is kept, in one of these ways"
    shape, written, what = _NAMES[source]
    if not shape.fullmatch(name):
        return "credential_name_invalid", f"expected `{written}`, with {what}", f"write `{written}`"
    if source == "file" and normpath(name).partition("/")[0] in TOP:
        message = "the secret's file stands among the files that are reviewed and shared"
        return "secret_in_bundle", message, "keep it outside agents, catalogue and organisation, such as var/orders.key"
    return None


def _is_secret(source: str, name: str) -> bool:
    """Tell whether a secret was written behind the name of a place; a path, or a variable, may be long too."""
    if source == "env":
        return KEY_SHAPE.search(name) is not None or (looks_secret(name) and not name.replace("_", "").isupper())
    return source not in SOURCES and looks_secret(name)


def _wrong_header(entry: CredentialEntry, *, has_headers: bool) -> Iterator[tuple[Path, Wrong]]:
    for part, text in (("header", entry.header), ("scheme", entry.scheme)):
        if text is None:
            continue
        if entry.secret is None or not has_headers:
            what = "a secret" if entry.secret is None else "a header, and a command has none"
            yield (part,), ("credential_header_unused", f"`{part}` is about {what}", f"take `{part}` out")
        elif looks_secret(text):
            yield (part,), SECRET_SAID
    if entry.secret is None or not has_headers:
        return
    said = credential_header_wrong(entry.header or AUTHORIZATION)
    if said and not looks_secret(entry.header or ""):
        fix = "write the header that the tool reads its key from, such as x-api-key"
        yield ("header",), ("credential_header_invalid", f"`header`: {said}", fix)
    said = credential_scheme_wrong(entry.scheme or "")
    if said and not looks_secret(entry.scheme or ""):
        fix = 'write one word such as Bearer, or "" where there is none'
        yield ("scheme",), ("credential_scheme_invalid", f"`scheme`: {said}", fix)
