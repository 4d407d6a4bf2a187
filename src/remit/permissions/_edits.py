"""Calls that a person changed while deciding them, and calls that change what they were approved for.

edit_of("pay", b'{"amount":90}', approvals, now)      # the approval whose arguments take the place of these
"""

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256

from remit.core import Allow, Consume, Deny, Reason, canonical_bytes
from remit.permissions._approval import Approval, State


def same_call(operation: str, canonical: bytes) -> str:
    """Return what two calls of a task have in common that ask for the same: `sha256:` over operation and arguments."""
    said = canonical_bytes({"operation": operation, "arguments": canonical.decode()})
    return f"sha256:{sha256(said).hexdigest()}"


def edit_of(operation: str, canonical: bytes, approvals: Iterable[Approval], now: datetime) -> Approval | None:
    """Return the newest edit that takes the place of a call: one that stands, or whose call was made or refused."""
    edits = [each for each in approvals if each.edited and each.operation == operation and _stands(each, now)]
    if not edits:
        return None
    asked = same_call(operation, canonical)
    mine = [each for each in edits if each.instead_of == asked]
    return max(mine, key=lambda each: (each.opened_at, each.id), default=None)


def edit_stands(digest: str, approvals: Iterable[Approval], now: datetime) -> Allow | Deny | None:
    """Say what an edit means for a call that nothing holds: it is made once, by using the edit up; None without one.

    Deny code: `already_executed` (with `instead`).
    """
    for each in approvals:
        if not each.edited or each.digest != digest:
            continue
        if each.state is State.USED:
            return _made(each)
        if each.state is State.WAITING and now < each.expires_at:
            return Allow((Consume(each.id),))
    return None


def made_before(operation: str, canonical: bytes, approvals: Iterable[Approval]) -> Deny | None:
    """Say that a call was approved and made once, also where what it changed has another look since; None: it was not.

    Deny code: `already_executed` (with `instead`).
    """
    used = [each for each in approvals if each.state is State.USED and each.operation == operation]
    if not used:
        return None
    asked = same_call(operation, canonical)
    for each in used:
        if (edit_bare(each) or each.instead_of) == asked:
            return _made(each)
    return None


def edit_bare(approval: Approval) -> str:
    """Return what stands for an approval's edited arguments where they must not be kept; empty: it was not edited."""
    edited = approval.edited
    return edited if edited[:1] != "{" else same_call(approval.operation, edited.encode())


def _made(approval: Approval) -> Deny:
    message = f"this very call was approved and made once, as `{approval.call}`"
    return Deny(Reason("already_executed", message, "use the recorded outcome of that call"), instead=approval.call)


def _stands(approval: Approval, now: datetime) -> bool:
    return approval.state is not State.VOID and (approval.state is not State.WAITING or now < approval.expires_at)
