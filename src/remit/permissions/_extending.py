"""What a reviewer may make trusted while approving a call: exactly what the call is held for, and no more.

is_about(Kind.DOMAINS, "corp.example", "eve@corp.example")     # True; "example" would be far more
"""

from remit.core import Allow, Deny, Reason
from remit.permissions._addresses import host_form, host_of
from remit.permissions._approval import Grant
from remit.permissions._flow import Flow
from remit.permissions._links import links_in
from remit.permissions._lists import Kind

PROVENANCE = "provenance"
"""The kind of a requirement that a hold for where a value came from has."""


def may_extend(grants: tuple[Grant, ...], flow: Flow | None) -> Allow | Deny:
    """Say whether a yes with `grants` may also make a value trusted: if it lifts what is held for where it came from.

    Who may let confidential data out in this call may not, for that alone, say where values may come from in all.

    Deny code: `trust_role_missing`.
    """
    reviewers = () if flow is None else flow.reviewers
    if any(grant.kind == PROVENANCE and grant.role in reviewers for grant in grants):
        return Allow()
    message = "this yes lifts nothing that is held for where a value came from"
    return Deny(Reason("trust_role_missing", message, "approve without trusting, or ask a reviewer of such values"))


def is_about(kind: Kind, value: str, text: str) -> bool:
    """Say whether `value`, listed in a directory of `kind`, lists `text` and nothing wider than it and its host."""
    if kind is Kind.VALUES:
        return bool(value) and value == text
    host = host_of(text)
    return host is not None and host == host_form(value)


def is_about_link(kind: Kind, value: str, text: str) -> bool:
    """Say the same of some address in `text`, which everybody reads as the same address."""
    links = [link for link in links_in(text) if not link.hidden]
    if kind is Kind.VALUES:
        return any(link.written == value for link in links)
    host = host_form(value)
    return host is not None and any(link.host == host for link in links)
