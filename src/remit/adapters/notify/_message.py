"""What people are told of an approval: a title and a text, without any argument or value.

title, text = title_and_text(None, approval, "http://127.0.0.1:8701")
title                       # "refund_order by refunds waits for approval"
text.splitlines()[2:4]      # ["for: tom", "approval: a_..."]
"""

from remit.core import utc_text
from remit.permissions import Approval, State, still_needed
from remit.records import printable


def title_and_text(before: Approval | None, after: Approval, admin_url: str) -> tuple[str, str] | None:
    """Say how an approval changed; None where nobody needs to hear of it.

    Told: one that waits since now, also one whose call a person changed, the last yes that was needed, and a no.
    """
    happened = _happened(before, after)
    if not happened:
        return None
    needed = "; ".join(still_needed(after))
    lines = [
        f"agent: {after.agent}",
        f"operation: {after.operation}",
        f"for: {after.user}",
        f"approval: {after.id}",
        *([f"held: {after.code}"] if after.code else []),
    ]
    if after.state is State.WAITING:
        lines += [f"who may approve: {needed}"] if needed else []
        lines += [f"until: {utc_text(after.expires_at)[:19]}Z"]
    lines += [f"to see it: remit approvals show {after.id}", f"or: {admin_url}/approvals/{after.id}"]
    return f"{after.operation} by {after.agent} {happened}", "\n".join(map(printable, lines))


def _happened(before: Approval | None, after: Approval) -> str:
    """Say what happened, in words that follow the call's; empty where nobody needs to hear of it."""
    if not after.entry:  # (its hold is not recorded yet)
        return ""
    if before is None or not before.entry:
        if after.state is not State.WAITING:
            return ""
        return f"was changed by {after.editor} and waits for approval" if after.edited else "waits for approval"
    if before.state is State.WAITING and after.state is State.DENIED:
        return f"was denied by {after.by}"
    if after.state is State.WAITING and len(after.grants) > len(before.grants) and not still_needed(after):
        return f"was approved by {', '.join(dict.fromkeys(grant.person for grant in after.grants))}"
    return ""
