"""The `remit` command: a client of the admin API, with a person's login, and never a way into the store.

main = command_line(workshop, demo)
main()
"""

from remit.surfaces.cli._commands import command_line
from remit.surfaces.cli._ports import (
    Checked,
    Decided,
    Finding,
    Listed,
    Locked,
    Ready,
    Served,
    Signed,
    Trusted,
    Workshop,
    Written,
)

__all__ = [
    "Checked",
    "Decided",
    "Finding",
    "Listed",
    "Locked",
    "Ready",
    "Served",
    "Signed",
    "Trusted",
    "Workshop",
    "Written",
    "command_line",
]
