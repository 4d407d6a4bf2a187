"""Room 8, releases: what runs is one content-addressed bundle, and one command makes all of it stand still.

Promise so far: while an operator has stopped everything, nothing is called, by any agent, for anybody.

    is_running("")                             # Allow()
    is_running("the refund desk pays twice")   # Deny(Reason("stopped", ...))
"""

from remit.releases._rules import is_running

__all__ = ["is_running"]
