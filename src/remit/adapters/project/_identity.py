"""How agents prove themselves, as their files say: no two of them by the same thing.

registration_of(file)       # Registration(bearer=False, delegates_to=frozenset({"tracker"}), ...)
"""

import re
from collections.abc import Iterator, Mapping

from remit.adapters.project._base import SPIFFE_BYTES_MAX
from remit.adapters.project._mistakes import nearest
from remit.adapters.project._models import AgentFile
from remit.adapters.project._yaml import Document, Path
from remit.core import Problem
from remit.identity import RegisteredClient, Registration

_SPIFFE = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)+)", re.ASCII)


def registration_of(found: AgentFile) -> Registration:
    """Return what an agent's file says of how it proves itself; everything is off where it says nothing."""
    said = found.identity
    return Registration(
        bearer=said.bearer,
        delegates_to=frozenset(said.delegates_to),
        spiffe=frozenset(said.spiffe),
        clients=tuple(
            RegisteredClient(issuer=each.issuer, client_id=each.client_id, use_case=each.use_case)
            for each in said.clients
        ),
    )


def wrong_identities(files: Mapping[str, tuple[Document, AgentFile]], agents: frozenset[str]) -> Iterator[Problem]:
    """Find what is wrong with the agents' identities; `agents` are the names that there are."""
    taken: dict[tuple[str, ...], tuple[str, Path]] = {}
    for document, found in files.values():
        yield from _wrong_delegates(document, found, agents)
        for code, path, message, fix in (*_spiffe(found), *_clients(found), *_shared(document, found, taken)):
            yield _problem(document, code, path, message, fix)


_Found = tuple[str, Path, str, str]
"""A problem without its file: code, path, message, fix."""


def _wrong_delegates(document: Document, found: AgentFile, agents: frozenset[str]) -> Iterator[Problem]:
    for index, name in enumerate(found.identity.delegates_to):
        path: Path = ("identity", "delegates_to", index)
        if name == found.agent:
            message = f"`{name}` hands work on to itself"
            yield _problem(document, "delegate_itself", path, message, "take it off the list")
        elif name not in agents:
            message = f"there is no agent `{name}`{nearest(name, sorted(agents))}"
            fix = "write its agents/<name>/agent.yaml, or take it off the list"
            yield _problem(document, "delegate_unknown", path, message, fix)


def _spiffe(found: AgentFile) -> Iterator[_Found]:
    for index, name in enumerate(found.identity.spiffe):
        path: Path = ("identity", "spiffe", index)
        wrong = _spiffe_wrong(name)
        if wrong:
            message = f"expected a SPIFFE ID such as spiffe://example.org/refunds: {wrong}"
            yield "spiffe_id_invalid", path, message, "write the workload's own id, as its SPIFFE server issues it"


def _spiffe_wrong(name: str) -> str:
    """Say why `name` is no workload's id (SPIFFE ID, section 2); empty when it is one."""
    shape = _SPIFFE.fullmatch(name)
    if shape is None:
        bare = re.fullmatch(r"spiffe://[a-z0-9._-]+", name)
        return "a path is missing, and a trust domain is no workload" if bare else _shape_wrong(name)
    if len(name) > SPIFFE_BYTES_MAX:
        return f"it is longer than {SPIFFE_BYTES_MAX} bytes"
    if {".", ".."} & set(shape[2].split("/")):
        return "a segment of the path is `.` or `..`"
    return ""


def _shape_wrong(name: str) -> str:
    if not name.startswith("spiffe://"):
        return "it begins with `spiffe://`"
    domain, _, path = name.removeprefix("spiffe://").partition("/")
    if not re.fullmatch(r"[a-z0-9._-]{1,255}", domain, re.ASCII):
        return "a trust domain is of a-z, 0-9, `.`, `-` and `_`, without a port"
    if not all(path.split("/")):
        return "a segment of the path is empty"
    return "a path is of letters, digits, `.`, `-` and `_`"


def _clients(found: AgentFile) -> Iterator[_Found]:
    for index, client in enumerate(found.identity.clients):
        path: Path = ("identity", "clients", index, "use_case")
        if client.use_case not in found.use_cases:
            near = nearest(client.use_case, sorted(found.use_cases))
            message = f"`{found.agent}` has no use case `{client.use_case}`{near}"
            yield "client_use_case_unknown", path, message, "name one that stands under `use_cases:`"


def _shared(document: Document, found: AgentFile, taken: dict[tuple[str, ...], tuple[str, Path]]) -> Iterator[_Found]:
    """Find what an earlier agent, or an earlier line, has already: whoever comes with it would be both."""
    fix = "give each agent its own, once"

    def earlier(path: Path, *thing: str) -> str:
        here = f"{document.file}:{document.line(path)}", path
        there = taken.setdefault(thing, here)
        return "" if there == here else there[0]

    for index, name in enumerate(found.identity.spiffe):
        path: Path = ("identity", "spiffe", index)
        if place := earlier(path, name):
            message = f"this SPIFFE ID is also in {place}: whoever comes with it would be both"
            yield "spiffe_duplicate", path, message, fix
    for index, client in enumerate(found.identity.clients):
        path = ("identity", "clients", index)
        if place := earlier(path, client.issuer, client.client_id):
            message = f"this client of `{client.issuer}` is also in {place}: whoever comes with it would be both"
            yield "client_duplicate", path, message, fix


def _problem(document: Document, code: str, path: Path, message: str, fix: str) -> Problem:
    return Problem(code=code, file=document.file, line=document.line(path), message=message, fix=fix)
