"""Tools' secrets, read where they are kept: a variable of the environment, a private file, the system's keyring.

A file is read again when it has changed, a keyring once a minute, the environment as it was when we started.
"""

import asyncio
import importlib
import os
import re
import stat
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from remit.adapters.credentials._exchange import Unavailable
from remit.adapters.credentials._shared import Shared
from remit.catalogue import Secret
from remit.pipeline import Clock

SECRET_CHARS_MIN = 8  # a shorter one is guessed, and turns up in answers by chance
SECRET_BYTES_MAX = 8_192  # one secret, and one file
KEYRING_S = 5.0  # seconds that the keyring has to answer; it may ask a person to unlock it
KEYRING_AGE = timedelta(seconds=60)  # for which what it said is used
CACHE_MAX = 1_000  # secrets kept of files and of the keyring, each; emptied when full

_VISIBLE = re.compile(rf"[!-~]{{{SECRET_CHARS_MIN},{SECRET_BYTES_MAX}}}")
_FIX = "put it where the tool's `credential` in the catalogue says"


class _Stamp(NamedTuple):
    """What says whether a file is still the same."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class _Held(NamedTuple):
    value: str
    since: datetime


class _Keyring(Protocol):
    """The one function of the package `keyring` that is used."""

    def get_password(self, service_name: str, username: str) -> str | None: ...


class Secrets:
    """Reads secrets. `environ` is given once; the paths of files are below `root`, or absolute."""

    def __init__(self, environ: Mapping[str, str], root: Path, clock: Clock) -> None:
        self._environ = environ
        self._root = root
        self._clock = clock
        self._files: dict[str, tuple[_Stamp, str]] = {}
        self._from_keyring: dict[str, _Held] = {}
        self._shared: Shared[str, str | Unavailable] = Shared()

    async def value(self, secret: Secret, now: datetime) -> str:
        """Return the secret.

        Raises:
            CredentialUnavailableError: `secret_missing`, `secret_exposed` for a file that others may read,
                `secret_invalid` for what does not fit a header. Each names where the secret is kept, as it is written.
        """
        found: str | Unavailable
        match secret.source:
            case "env":
                found = self._environ.get(secret.name, "")
            case "file":
                found = self._file(secret.name)
            case "keyring":
                found = await self._keyring(secret.name, now)
            case _:
                found = ""
        found = _checked(found)
        if isinstance(found, Unavailable):
            raise replace(found, message=f"{found.message} (`{secret.source}:{secret.name}`)").error()
        return found

    async def close(self) -> None:
        """End what is under way."""
        await self._shared.close()

    def _file(self, name: str) -> str | Unavailable:
        # What is judged is what is read: the open file, not its name. (Not blocking: it might be a pipe.)
        try:
            opened = os.open(self._root / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return ""
        try:
            return self._opened(opened, name)
        except OSError:
            return ""
        finally:
            os.close(opened)

    def _opened(self, opened: int, name: str) -> str | Unavailable:
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode):
            return Unavailable("secret_invalid", "the tool's secret is not in a plain file", _FIX)
        if stat.S_IMODE(about.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            return Unavailable("secret_exposed", "the file of the tool's secret can be read by others", "chmod 600")
        stamp = _Stamp(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        known = self._files.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        if about.st_size > SECRET_BYTES_MAX:
            return _invalid()
        value = os.read(opened, SECRET_BYTES_MAX).decode("latin-1").strip(" \t\r\n")
        if len(self._files) >= CACHE_MAX:
            self._files.clear()
        self._files[name] = (stamp, value)
        return value

    async def _keyring(self, name: str, now: datetime) -> str | Unavailable:
        held = self._from_keyring.get(name)
        if held is not None and held.since <= now < held.since + KEYRING_AGE:
            return held.value
        try:
            async with asyncio.timeout(KEYRING_S):
                return await self._shared.join(name, partial(self._asked, name))
        except TimeoutError:
            return Unavailable("secret_missing", "the keyring did not answer", "unlock it")

    async def _asked(self, name: str) -> str | Unavailable:
        now = self._clock.now()
        said = await _from_thread(name)
        if isinstance(said, str) and said:
            if len(self._from_keyring) >= CACHE_MAX:
                self._from_keyring.clear()
            self._from_keyring[name] = _Held(said, now)
        return said


async def _from_thread(name: str) -> str | Unavailable:
    """Ask the keyring in a thread of its own, which may hang and then keeps nobody from ending the program."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str | Unavailable] = loop.create_future()

    def settle(said: str | Unavailable) -> None:
        if not answer.done():
            answer.set_result(said)

    def ask() -> None:
        said = _ask_keyring(name)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, said)

    threading.Thread(target=ask, name="keyring", daemon=True).start()
    return await answer


def _ask_keyring(name: str) -> str | Unavailable:
    service, _, user = name.rpartition("/")
    try:
        keyring = cast("_Keyring", importlib.import_module("keyring"))
    except ImportError:
        return Unavailable("secret_missing", "there is no keyring here", "pip install 'remit[keyring]'")
    errors = importlib.import_module("keyring.errors")
    try:
        return keyring.get_password(service, user) or ""
    except (errors.KeyringError, RuntimeError, OSError, ValueError) as error:
        said = f"the keyring could not be asked: {type(error).__name__}"
        return Unavailable("secret_missing", said, "unlock it, or install one")


def _checked(found: str | Unavailable) -> str | Unavailable:
    if isinstance(found, Unavailable):
        return found
    if not found:
        return Unavailable("secret_missing", "the tool's secret is not there", _FIX)
    return found if _VISIBLE.fullmatch(found) else _invalid()


def _invalid() -> Unavailable:
    said = f"the tool's secret is not {SECRET_CHARS_MIN} to {SECRET_BYTES_MAX} visible ascii characters"
    return Unavailable("secret_invalid", said, _FIX)
