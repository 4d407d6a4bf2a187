"""`remit demo`: the refund desk, told as a story on real servers. Nothing in it is pretended.

It starts programs of their own on free loopback ports (the shop's order desk, the gateway with the mail server as its
child, the agents), uses the same commands as anybody, and looks at the shop's databases and at the log to see whether
what it tells is true.
"""

import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib import util
from pathlib import Path

from remit.core import RemitError
from remit.surfaces.cli._chapters import ORDER, tell
from remit.surfaces.cli._stage import Stage, Story, example_folder, set_stage

FAULT = 3  # exit code


def demo(keep: bool) -> int:
    """Tell the story; return 0 if everything happened as told."""
    if util.find_spec("mcp") is None:
        print("demo_needs_mcp: the demo's tool servers and agents use the official MCP SDK", file=sys.stderr)
        print("    fix: pip install 'remit[demo]'", file=sys.stderr)
        return 1
    story = Story()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(FAULT)
    )  # so that what was started is ended, and its folder removed
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="remit-demo-")))
            stage = set_stage(example_folder(), folder)
            tell(story, stage)
            if keep:
                stack.enter_context(stage.orders())
                stack.enter_context(stage.gateway())
                _stay(stage)
    except (RemitError, OSError, subprocess.SubprocessError) as error:
        story.failures.append(f"the story broke off: {error}")
    print(f"\n{'everything happened as told' if not story.failures else 'NOT as told: ' + '; '.join(story.failures)}")
    return 1 if story.failures else 0


def _stay(stage: Stage) -> None:
    print(f"\nStaying up. The project is {stage.project}; try, in another terminal:")
    for line in (
        "login ana",
        f"try get_order order_id={ORDER}",
        f"try refund_order order_id={ORDER} amount_minor=2500 currency=EUR reason=damaged",
        f"try refund_order order_id={ORDER} amount_minor=10001 currency=EUR reason=damaged",
        "approvals list",
        "tools list",
        "tasks list",
        "records verify",
        "doctor",
    ):
        words = line.split()
        at = 2 if words[0] in ("tasks", "records", "approvals", "tools") else 1
        print(f"  remit {' '.join(words[:at])} -C {stage.project} {' '.join(words[at:])}".rstrip())
    print("Ctrl-C ends it and removes the folder.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()
