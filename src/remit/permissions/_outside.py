"""The gate of a decision point outside: one more that must permit, and never one that widens."""

from remit.core import Allow, Decision, Deny, Reason
from remit.permissions._model import Opinion

_ASK = "ask those who run the organisation's decision point"


def outside_permits(opinion: Opinion | None) -> Decision:
    """Allow where no decision point outside is asked, or the one that is permits; a failure is a denial."""
    if opinion is None:
        return Allow()
    if opinion.failed:
        said = f"the decision point outside did not answer: {opinion.failed}"
        return Deny(Reason("outside_unavailable", said, _ASK))
    if not opinion.permits:
        return Deny(Reason("outside_denies", f"the decision point outside denies: {opinion.why or 'no reason'}", _ASK))
    return Allow()
