"""Every bound of the client, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """What one pool may hold and wait for. Time and size of one call are its `Bounds`."""

    connections_max: int = 64  # open connections to one origin
    waiting_max: int = 1024  # calls waiting for a connection to one origin
    origins_max: int = 256  # origins remembered
    idle_s_max: float = 4.0  # seconds a connection is kept unused, 0 never; common servers close theirs after 5
    connect_s_max: float = 5.0  # seconds for address look-up, TCP and TLS together
    header_bytes_max: int = 16 * 1024  # status line, headers and trailers of one answer
    drain_s_max: float = 0.05  # seconds an event stream has to end after the event that was waited for


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one call may take: `timeout_s` from asking to the answer's last byte, and the size of the answer's body."""

    timeout_s: float
    response_bytes_max: int
