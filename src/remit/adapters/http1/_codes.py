"""The stable codes of everything that can go wrong on the way out."""

from enum import StrEnum

from remit.adapters.http1._response import Response
from remit.pipeline import Sent, UpstreamFailure


class Code(StrEnum):
    """What kept a peer from answering."""

    BUSY = "upstream_busy"  # our own bound: too many calls wait for this peer
    CLOSED = "upstream_closed"  # the connection ended before the answer did
    MALFORMED = "upstream_malformed"  # the answer breaks its protocol
    REFUSED = "upstream_refused"  # a whole HTTP answer with a status of 300 or above
    TIMEOUT = "upstream_timeout"  # the call's time was up
    TOO_LARGE = "upstream_too_large"  # the answer passed a bound of size
    UNREACHABLE = "upstream_unreachable"  # no connection could be made


def failure(code: Code, sent: Sent, detail: str) -> UpstreamFailure:
    """Make the failure with `code`, as plain text."""
    return UpstreamFailure(code=code.value, sent=sent, detail=detail)


def refusal(response: Response) -> UpstreamFailure | None:
    """Say that `response` is a refusal or a redirect, none of which is ever followed; None for a status below 300."""
    if response.status < 300:
        return None
    return failure(Code.REFUSED, Sent.ANSWERED, f"http {response.status}")
