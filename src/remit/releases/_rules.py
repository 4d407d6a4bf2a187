"""The releases gate, pure."""

from remit.core import Allow, Decision, Deny, Reason


def is_running(stopped: str) -> Decision:
    """Allow unless somebody has stopped everything; `stopped` says why, and is empty while nobody has."""
    if not stopped:
        return Allow()
    return Deny(Reason("stopped", f"everything is stopped: {stopped}", "wait until an operator lets it run again"))
