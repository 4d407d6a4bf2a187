"""Sends messages to one target, as a program of its own: what it is told on standard input, it sends.

Exit codes: 0 everything was sent, 3 something was not, 4 the address is no target of Apprise. It prints nothing: what
the library says may hold the address. It is a program of its own because the library may wait longer than it was told
to, starts threads that nobody can end, and reports by what it prints. (-I: the folder it is started in adds no code.)

    python -I _sender.py < {"url": "json://127.0.0.1:9000", "messages": [["a title", "a text"]]}
"""

import json
import logging
import os
import sys

from apprise import Apprise, AppriseAsset, NotifyFormat, PersistentStoreMode

SENT, NOT_SENT, NO_TARGET = 0, 3, 4  # 1 and 2 are Python's own
NICE = 10  # below the gateway, whose calls come first


def send(url: str, messages: list[tuple[str, str]]) -> int:
    """Send `messages`, as plain text; nothing is kept on disk, and no redirection is followed."""
    asset = AppriseAsset(
        async_mode=False,
        storage_mode=PersistentStoreMode.MEMORY,
        app_id="Remit",
        app_desc="Remit",
        http_redirects=False,
    )
    targets = Apprise(asset=asset)
    if not targets.add(url):
        return NO_TARGET
    sent = [
        targets.notify(title=title, body=text, body_format=NotifyFormat.TEXT, interpret_escapes=False)
        for title, text in messages
    ]
    return SENT if all(map(bool, sent)) else NOT_SENT


def main() -> None:
    """Send what standard input says, and end at once: a thread of the library's that still waits ends with us."""
    logging.disable(logging.CRITICAL)
    os.nice(NICE)
    said = json.load(sys.stdin.buffer)
    os._exit(send(said["url"], [(title, text) for title, text in said["messages"]]))


if __name__ == "__main__":
    main()
