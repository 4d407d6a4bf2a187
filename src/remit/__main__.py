"""`remit`, and `python -m remit`."""

import logging
import time

STARTED_NS = time.monotonic_ns()

from importlib import import_module  # noqa: E402 - the clock starts before the imports that it measures
from typing import cast  # noqa: E402 - the same

from remit.surfaces.cli import Workshop, command_line  # noqa: E402 - the same
from remit.surfaces.cli._demo import demo  # noqa: E402 - the same


class _Workshop:
    """The local workshop, loaded by the first command that has local work.

    Most commands only ask a running gateway, and the gateway's own libraries take most of a second to load.
    """

    def __getattr__(self, name: str) -> object:
        workshop = import_module("remit.app").LocalWorkshop(STARTED_NS)
        return getattr(workshop, name)


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    command_line(cast("Workshop", _Workshop()), demo)(prog_name="remit")


if __name__ == "__main__":
    main()
