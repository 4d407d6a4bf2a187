"""Tells people of calls that wait for them, through the targets of Apprise (docs/adr/0020).

Rules: a message says who, what, until when and where to decide, and no argument or value. It leaves apart from the call
path, by a program of its own that is ended when it is late; each target has a queue that is bounded. A target's address
is read where it is kept when it is needed, and nothing says it: what went wrong is told by the target's name.

    ops = Target("ops", Secret(source="env", name="REMIT_NOTIFY_OPS"))
    notices = Notices([ops], secrets, clock, "http://127.0.0.1:8701")
    sending = asyncio.create_task(notices.run())
    notices.changed(None, approval)         # returns at once, and never raises
    await notices.close()
"""

from remit.adapters.notify._notices import Limits, Notices, Target

__all__ = ["Limits", "Notices", "Target"]
