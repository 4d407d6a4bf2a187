"""The `remit` command. Exit codes: 0 ok, 1 refused or not ready, 2 usage, 3 fault."""

import sys
from collections.abc import Callable

import click

from remit import __version__
from remit.surfaces.cli._agents import agents
from remit.surfaces.cli._approvals import approvals
from remit.surfaces.cli._directories import directories
from remit.surfaces.cli._lists import lists
from remit.surfaces.cli._local import check, doctor, init, up
from remit.surfaces.cli._ports import Workshop
from remit.surfaces.cli._records import records
from remit.surfaces.cli._releases import release, stop_all
from remit.surfaces.cli._running import login, tasks, try_operation
from remit.surfaces.cli._tools import tools
from remit.surfaces.cli._users import users


def command_line(workshop: Workshop, demo: Callable[[bool], int]) -> click.Group:
    """Build the `remit` command. `demo` tells the story, staying up if asked, and returns an exit code."""

    @click.group(context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__, prog_name="remit")
    @click.pass_context
    def remit(context: click.Context) -> None:
        """Bounded agency for autonomous agents: decided outside the model, recorded, provable."""
        context.obj = workshop

    @remit.command("demo")
    @click.option("--keep", is_flag=True, help="Stay up afterwards and print what to try next.")
    def demo_command(*, keep: bool) -> None:
        """Show the whole story on real servers; exits non-zero if anything did not happen as told."""
        sys.exit(demo(keep))

    everyday = (check, doctor, init, login, try_operation, up)
    for command in (*everyday, agents, approvals, directories, lists, records, release, stop_all, tasks, tools, users):
        remit.add_command(command)
    return remit
