"""`remit`, and `python -m remit`."""

import logging
import time

STARTED_NS = time.monotonic_ns()

from remit.app import LocalWorkshop  # noqa: E402 - the clock starts before the imports that it measures
from remit.surfaces.cli import command_line  # noqa: E402 - the same
from remit.surfaces.cli._demo import demo  # noqa: E402 - the same


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    command_line(LocalWorkshop(STARTED_NS), demo)(prog_name="remit")


if __name__ == "__main__":
    main()
