"""Tools that know us by a secret: where it is read, what is refused, and that nothing tells it."""

import asyncio
import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from keyring import errors
from keyring.backend import KeyringBackend
from tests.adapters.credentials.exchange_stage import Stage, stage, tool

from remit.adapters.credentials import _secrets
from remit.catalogue import Secret
from remit.identity import Cut
from remit.pipeline import Credential, CredentialUnavailableError
from remit.testing import desk_call

keyring = importlib.import_module("keyring")
VALUE = "s3cret:value/of=the+desk"
SECOND = timedelta(seconds=1)


def secret(source: str, name: str, **more: str) -> Secret:
    return Secret(source=source, name=name, **more)


async def ask(one: Stage, which: Secret) -> Credential:
    return await one.credentials.credential(tool(which), desk_call("look"), b"", one.clock.now())


def refusal(run: Any, one: Stage, which: Secret) -> CredentialUnavailableError:
    """Return why there is no credential, having looked for the secret in all of it."""
    with pytest.raises(CredentialUnavailableError) as refused:
        run(ask(one, which))
    error = refused.value
    assert VALUE[:8] not in f"{error!r} {error} {error.message} {error.fix} {error.__cause__!r} {error.__context__!r}"
    return error


# --- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.3")
@pytest.mark.parametrize(
    ("more", "sent"),
    [
        ({}, ("authorization", f"Bearer {VALUE}")),
        ({"scheme": "Basic"}, ("authorization", f"Basic {VALUE}")),
        ({"header": "X-Api-Key", "scheme": ""}, ("x-api-key", VALUE)),
        ({"header": "x-api-key", "scheme": "Token"}, ("x-api-key", f"Token {VALUE}")),
    ],
)
def test_a_secret_is_sent_in_its_header_after_its_scheme(
    run: Any, caplog: pytest.LogCaptureFixture, more: dict[str, str], sent: tuple[str, str]
) -> None:
    caplog.set_level(logging.DEBUG)
    one = stage(environ={"DESK_KEY": VALUE})
    credential = run(ask(one, secret("env", "DESK_KEY", **more)))
    assert (credential.header, credential.value, credential.sequence) == (*sent, None)
    assert VALUE not in repr(credential)
    assert VALUE not in repr(one.credentials)
    assert VALUE not in caplog.text
    assert one.credentials.forget(Cut(agent="clerk")) == 0  # it is nobody's


BAD: dict[str, tuple[str, str]] = {
    "missing": ("", "secret_missing"),
    "too short": (VALUE[:7], "secret_invalid"),
    "a space": (f"{VALUE[:8]} {VALUE}", "secret_invalid"),
    "a line end": (f"{VALUE}\nx: y", "secret_invalid"),
    "a line end at its end": (f"{VALUE}\n", "secret_invalid"),
    "a letter beyond ascii": (f"{VALUE}é", "secret_invalid"),
    "a control character": (f"{VALUE}\x00", "secret_invalid"),
    "too long": ("x" * 8_193, "secret_invalid"),
}


@pytest.mark.parametrize("named", BAD)
def test_what_fits_no_header_is_no_secret_and_is_not_said(run: Any, named: str) -> None:
    value, code = BAD[named]
    assert refusal(run, stage(environ={"DESK_KEY": value}), secret("env", "DESK_KEY")).code == code
    longest = stage(environ={"DESK_KEY": "x" * 8_192})
    assert len(run(ask(longest, secret("env", "DESK_KEY"))).value) == 8_199


def test_what_is_not_there_is_missing_wherever_it_should_be(run: Any, tmp_path: Path) -> None:
    one = stage(environ={"OTHER": VALUE}, root=tmp_path)
    for where in (("env", "DESK_KEY"), ("file", "none"), ("file", "no\0ne"), ("elsewhere", "x")):
        assert refusal(run, one, secret(*where)).code == "secret_missing"


def test_a_refusal_names_where_the_secret_should_be_as_it_is_written(run: Any, tmp_path: Path) -> None:
    one = stage(environ={"SHORT": VALUE[:7]}, root=tmp_path)
    private(tmp_path / "open.key", VALUE, 0o644)
    for where, code in (
        (("env", "DESK_KEY"), "secret_missing"),
        (("env", "SHORT"), "secret_invalid"),
        (("file", "var/none.key"), "secret_missing"),
        (("file", "open.key"), "secret_exposed"),
    ):
        error = refusal(run, one, secret(*where))
        assert (error.code, f"`{':'.join(where)}`" in error.message) == (code, True)
        assert str(tmp_path) not in error.message


# --- files -----------------------------------------------------------------------------------------------------------


def private(file: Path, text: str, mode: int = 0o600) -> Path:
    file.write_text(text, "latin-1")
    file.chmod(mode)
    return file


def test_a_private_file_is_read_below_the_root_or_by_its_whole_path_without_its_line_end(
    run: Any, tmp_path: Path
) -> None:
    file = private(tmp_path / "desk.key", f"  {VALUE}\r\n")
    (tmp_path / "link").symlink_to(file)
    one = stage(root=tmp_path)
    for name in ("desk.key", str(file), "link"):
        assert run(ask(one, secret("file", name))).value == f"Bearer {VALUE}"


def test_a_file_is_read_again_when_it_has_changed_and_not_before(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = private(tmp_path / "desk.key", VALUE)
    one, which = stage(root=tmp_path), secret("file", "desk.key")
    assert run(ask(one, which)).value == f"Bearer {VALUE}"
    [(name, (stamp, _))] = one.credentials._secrets._files.items()
    one.credentials._secrets._files[name] = (stamp, "what-was-kept")
    assert run(ask(one, which)).value == "Bearer what-was-kept"
    os.utime(file, ns=(1, 1))
    assert run(ask(one, which)).value == f"Bearer {VALUE}"
    private(tmp_path / "new", "rotated-value").replace(file)
    assert run(ask(one, which)).value == "Bearer rotated-value"
    file.unlink()
    assert refusal(run, one, which).code == "secret_missing"
    monkeypatch.setattr(_secrets, "CACHE_MAX", 2)
    for number in range(5):
        private(tmp_path / f"{number}.key", VALUE)
        run(ask(one, secret("file", f"{number}.key")))
        assert len(one.credentials._secrets._files) <= 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_a_file_that_others_may_use_is_refused_even_when_it_was_private_before(
    run: Any, tmp_path: Path, mode: int
) -> None:
    file = private(tmp_path / "desk.key", VALUE)
    one, which = stage(root=tmp_path), secret("file", "desk.key")
    run(ask(one, which))
    file.chmod(mode)
    assert refusal(run, one, which).code == "secret_exposed"
    file.chmod(0o400)
    assert run(ask(one, which)).value == f"Bearer {VALUE}"


def test_what_is_no_plain_small_file_is_refused_and_keeps_nobody_waiting(run: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    private(tmp_path / "large", "x" * 8_192 + "\n")
    private(tmp_path / "two lines", f"{VALUE}\n{VALUE}\n")
    private(tmp_path / "letters", f"{VALUE}é")
    private(tmp_path / "empty", "\n")
    one, names = stage(root=tmp_path), sorted(each.name for each in tmp_path.iterdir())
    codes = {name: refusal(run, one, secret("file", name)).code for name in names}
    assert codes.pop("empty") == "secret_missing"
    assert set(codes.values()) == {"secret_invalid"}
    private(tmp_path / "large", "x" * 8_191 + "\n")
    assert len(run(ask(one, secret("file", "large"))).value) == 8_198


# --- the keyring -----------------------------------------------------------------------------------------------------


class Ring(KeyringBackend):
    """A keyring in memory."""

    priority = 1.0

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.asked: list[int] = []
        self.fault: Exception | None = None
        self.open = threading.Event()
        self.open.set()
        self.arrived = threading.Semaphore(0)

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.append(threading.get_ident())
        self.arrived.release()
        assert self.open.wait(60)
        if self.fault is not None:
            raise self.fault
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


@pytest.fixture
def ring() -> Iterator[Ring]:
    before = keyring.core._keyring_backend
    one = Ring()
    one.kept["desk", "remit"] = VALUE
    keyring.set_keyring(one)
    yield one
    one.open.set()
    keyring.core._keyring_backend = before


def test_the_keyring_is_asked_in_a_thread_once_a_minute(run: Any, ring: Ring) -> None:
    async def scenario() -> None:
        one, which = stage(), secret("keyring", "desk/remit")
        values = {each.value for each in await asyncio.gather(*(ask(one, which) for _ in range(20)))}
        assert values == {f"Bearer {VALUE}"}
        assert len(ring.asked) == 1
        assert threading.get_ident() not in ring.asked
        one.clock.advance(59 * SECOND)
        ring.set_password("desk", "remit", "rotated-value")
        assert (await ask(one, which)).value == f"Bearer {VALUE}"
        one.clock.advance(SECOND)
        assert (await ask(one, which)).value == "Bearer rotated-value"
        one.clock.advance(-SECOND)
        await ask(one, which)
        assert len(ring.asked) == 3
        await one.credentials.close()

    run(scenario())


def test_the_user_stands_behind_the_last_slash(run: Any, ring: Ring) -> None:
    ring.kept["https://desk.example/mcp", "remit"] = "another-value"
    assert run(ask(stage(), secret("keyring", "https://desk.example/mcp/remit"))).value == "Bearer another-value"


FAULTS: list[Callable[[], Exception]] = [
    lambda: errors.KeyringLocked(VALUE),
    lambda: errors.NoKeyringError(VALUE),
    lambda: RuntimeError(VALUE),
    lambda: OSError(VALUE),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_keyring_that_cannot_be_asked_has_no_secret_and_is_asked_again(
    run: Any, ring: Ring, fault: Callable[[], Exception]
) -> None:
    one, which = stage(), secret("keyring", "desk/remit")
    ring.fault = fault()
    assert refusal(run, one, which).code == "secret_missing"
    ring.fault = None
    ring.kept.clear()
    assert refusal(run, one, which).code == "secret_missing"
    ring.kept["desk", "remit"] = f"{VALUE}\n"
    assert refusal(run, one, which).code == "secret_invalid"


def test_without_the_package_there_is_no_keyring(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    error = refusal(run, stage(), secret("keyring", "desk/remit"))
    assert (error.code, error.fix) == ("secret_missing", "pip install 'remit[keyring]'")


def test_a_keyring_that_waits_for_a_person_holds_up_nobody_else(
    run: Any, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_secrets, "KEYRING_S", 0.1)
    ring.open.clear()

    async def scenario() -> None:
        one, which = stage(environ={"DESK_KEY": VALUE}), secret("keyring", "desk/remit")
        for _ in range(3):
            with pytest.raises(CredentialUnavailableError) as refused:
                await ask(one, which)
            assert refused.value.code == "secret_missing"
        assert len(ring.asked) == 1  # and no thread more for each who waits
        assert (await ask(one, secret("env", "DESK_KEY"))).value == f"Bearer {VALUE}"
        ring.open.set()
        await one.credentials._secrets._shared.close()
        assert (await ask(one, which)).value == f"Bearer {VALUE}"
        assert len(ring.asked) == 1

    run(scenario())
