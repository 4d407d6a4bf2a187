"""Tool servers that are programs: real child processes, good and bad, in the new form of the protocol and the older."""

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from remit.adapters.http1 import Pool
from remit.adapters.mcp_upstream import Discovery, McpUpstream
from remit.catalogue import Controls, Descriptor, Effect, Tool
from remit.core import Delegation, JsonObject, RemitError, ToolCall, Trace, canonical_bytes
from remit.pipeline import Credential, Sent, UpstreamAnswer, UpstreamFailure

HERE = Path(__file__).parent
BYTES_MAX = 65_536
SECRET = "eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiJ0b20iLCJ0eG4iOiJ0XzEifQ." + "s1gnatur3" * 9
SHOWN = Credential("authorization", f"Bearer {SECRET}")
NOTHING = Credential("authorization", "")
UNKNOWN, ANSWERED, NOT_SENT = Sent.UNKNOWN, Sent.ANSWERED, Sent.NOT_SENT


def call(canonical: bytes = b"{}", call_id: str = "c_1") -> ToolCall:
    delegation = Delegation(user="ann", agent="refunds", task="t_1", use_case="refund", expires_at=datetime.now(UTC))
    return ToolCall(
        id=call_id,
        trace=Trace("a" * 32, "b" * 16),
        delegation=delegation,
        operation="look",
        canonical=canonical,
    )


def do(what: str) -> ToolCall:
    return call(canonical_bytes({"do": what}))


def descriptor(upstream_name: str = "look") -> Descriptor:
    return Descriptor(
        operation="look",
        tool="desk",
        upstream_name=upstream_name,
        version="1",
        title="",
        description="",
        input_schema={"type": "object"},
        output_schema=None,
        endpoint={},
        served="",
        author="",
        controls=Controls(effect=Effect.READ),
    )


LOOK = descriptor()


def tool(*words: str, program: str = "stdio_child.py", timeout_s: float = 60.0) -> Tool:
    content = (HERE / program).read_bytes()
    return Tool(
        name="desk",
        url="",
        timeout_s=timeout_s,
        response_bytes_max=BYTES_MAX,
        command=("python", "tools/server.py", *words),
        artefacts=(("tools/server.py", f"sha256:{hashlib.sha256(content).hexdigest()}"),),
    )


def project(folder: Path, program: str = "stdio_child.py") -> Path:
    (folder / "tools").mkdir(exist_ok=True)
    shutil.copy(HERE / program, folder / "tools" / "server.py")
    return folder


@asynccontextmanager
async def upstream(root: Path, **options: Any) -> AsyncIterator[McpUpstream]:
    pool = Pool()
    one = McpUpstream(pool, root, **options)
    try:
        yield one
    finally:
        await one.close()
        await pool.close()


def starts(root: Path) -> list[int]:
    return [int(line) for line in (root / "starts").read_text().split()]


def said(answer: UpstreamAnswer | UpstreamFailure) -> Any:
    assert isinstance(answer, UpstreamAnswer), answer
    return orjson.loads(answer.result)["structuredContent"]["said"]


def failed(answer: UpstreamAnswer | UpstreamFailure) -> tuple[str, Sent]:
    assert isinstance(answer, UpstreamFailure), answer
    assert answer.detail.isascii()
    assert answer.detail.isprintable()
    assert len(answer.detail) <= 300
    return answer.code, answer.sent


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(") ")[2][0] != "Z"


# --- good calls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "versions"),
    [
        ((), ("2026-07-28",)),
        (("older",), ("2025-11-25",)),
        (("older", "2025-06-18"), ("2025-06-18",)),
        (("older", "2025-03-26"), ("2025-03-26",)),
    ],
)
def test_one_process_serves_discovery_listing_and_calls(
    run: Any, tmp_path: Path, words: tuple[str, ...], versions: tuple[str, ...]
) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool(*words)
            found = await one.discover(desk)
            assert (found.versions, found.name, found.capabilities) == (versions, "child", ("tools",))
            assert [each["name"] for each in await one.list_tools(desk)] == ["look"]
            for number in range(3):
                assert said(await one.invoke(desk, LOOK, call(b'{"n":%d}' % number), NOTHING)) == {"n": number}
        assert len(starts(tmp_path)) == 1

    run(scenario())


@pytest.mark.requirement("R2.3")
@pytest.mark.parametrize("words", [(), ("older",)])
def test_a_call_carries_its_credential_and_the_metadata_of_its_form(
    run: Any, tmp_path: Path, words: tuple[str, ...]
) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            meta = said(await one.invoke(tool(*words), LOOK, do("meta"), SHOWN))
            bare = said(await one.invoke(tool(*words), LOOK, do("meta"), NOTHING))
        assert meta["traceparent"] == f"00-{'a' * 32}-{'b' * 16}-01"
        backwards = SECRET[::-1]  # for no answer may repeat it
        assert meta == bare | {"remit/credential": backwards}
        modern = {key for key in meta if key.startswith("io.modelcontextprotocol/")}
        assert len(modern) == (0 if words else 3)

    run(scenario())


@pytest.mark.parametrize("words", [(), ("legacy",)])
def test_the_official_server_understands_and_is_understood_in_both_eras(
    run: Any, tmp_path: Path, words: tuple[str, ...]
) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path, "stdio_sdk.py")) as one:
            desk = tool(*words, program="stdio_sdk.py")
            expected = ("2025-11-25",) if words else ("2026-07-28",)
            assert await one.discover(desk) == Discovery(
                versions=expected, name="desk", version="3.1", capabilities=("prompts", "resources", "tools")
            )
            assert [each["name"] for each in await one.list_tools(desk)] == ["get_order", "fail"]
            order = descriptor("get_order")
            answer = await one.invoke(desk, order, call(b'{"order_id":"A-1"}'), SHOWN)
            assert isinstance(answer, UpstreamAnswer), answer
            assert orjson.loads(answer.result)["structuredContent"] == {"id": "A-1", "credential": True}
            broken = await one.invoke(desk, descriptor("fail"), call(), SHOWN)
            assert isinstance(broken, UpstreamAnswer), broken
            assert broken.is_error

    run(scenario())


def test_100_calls_at_once_each_get_their_own_answer(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool()
            calls = [call(b'{"n":%d}' % number) for number in range(100)]  # all with the same id
            answers = await asyncio.gather(*(one.invoke(desk, LOOK, each, NOTHING) for each in calls))
            assert [said(answer) for answer in answers] == [{"n": number} for number in range(100)]
            first, second = await asyncio.gather(
                one.invoke(desk, LOOK, do("swap"), NOTHING), one.invoke(desk, LOOK, call(b'{"second":1}'), NOTHING)
            )
            assert (said(first), said(second)) == ({"do": "swap"}, {"second": 1})
        assert len(starts(tmp_path)) == 1

    run(scenario())


def test_a_request_of_the_server_is_answered_with_no_and_a_ping_with_nothing(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            answers = said(await one.invoke(tool(), LOOK, do("asks"), NOTHING))
        assert [answer["id"] for answer in answers] == [0, 1, 2, 3]
        assert [answer.get("error", {}).get("code") for answer in answers] == [-32601] * 3 + [None]
        assert answers[3]["result"] == {}

    run(scenario())


# --- what a program gets ---------------------------------------------------------------------------------------------


def test_a_program_inherits_nothing_of_ours(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMIT_PASSPHRASE", "ours alone")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")

    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            given = said(await one.invoke(tool(), LOOK, do("environment"), NOTHING))
            home = given["HOME"]
            assert os.path.isdir(home)  # noqa: ASYNC240, PTH112 - nothing else waits
        assert not os.path.exists(home)  # noqa: ASYNC240, PTH110 - nothing else waits
        added = {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"}  # by the interpreter and the system, not by us
        rest = set(given) - {"cwd", "home", "session", "files"} - added
        assert rest == {"PATH", "LANG", "HOME", "TMPDIR"}
        assert given["PATH"] == f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        assert given["LANG"] == "C.UTF-8"
        assert given["HOME"] != given["TMPDIR"]
        assert given["home"] == []
        assert given["cwd"] == str(tmp_path)
        assert given["session"] is True
        assert set(given["files"]) <= {0, 1, 2, 3}  # and the one that lists them

    run(scenario())


@pytest.mark.requirement("R4.4")
@pytest.mark.parametrize("change", ["edited", "gone", "a folder"])
def test_a_program_whose_files_were_not_reviewed_is_never_started(run: Any, tmp_path: Path, change: str) -> None:
    async def scenario() -> None:
        root = project(tmp_path)
        server = root / "tools" / "server.py"
        original = server.read_bytes()
        server.unlink()
        if change == "edited":
            server.write_bytes(original + b"\n# one line more\n")
        if change == "a folder":
            server.mkdir()
        async with upstream(root) as one:
            for _ in range(2):
                answer = await one.invoke(tool(), LOOK, call(), NOTHING)
                assert failed(answer) == ("artefact_mismatch", NOT_SENT)
                assert isinstance(answer, UpstreamFailure)
                assert "`tools/server.py`" in answer.detail
            with pytest.raises(RemitError, match=r"artefact_mismatch: tool server `desk` at `python tools/server\.py`"):
                await one.list_tools(tool())
            assert not (root / "starts").exists()
            if change == "a folder":
                server.rmdir()
            server.write_bytes(original)
            assert said(await one.invoke(tool(), LOOK, call(), NOTHING)) == {}  # the control: put back, it runs

    run(scenario())


def test_files_are_compared_again_before_each_start(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        root = project(tmp_path)
        async with upstream(root) as one:
            assert said(await one.invoke(tool(), LOOK, call(), NOTHING)) == {}
            (root / "tools" / "server.py").write_text("raise SystemExit")
            assert said(await one.invoke(tool(), LOOK, call(), NOTHING)) == {}  # the process is still the reviewed one
            assert failed(await one.invoke(tool(), LOOK, do("die"), NOTHING)) == ("upstream_closed", UNKNOWN)
            assert failed(await one.invoke(tool(), LOOK, call(), NOTHING)) == ("artefact_mismatch", NOT_SENT)

    run(scenario())


def test_without_a_project_or_a_program_nothing_is_started(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        pool = Pool()
        rootless = McpUpstream(pool)
        assert failed(await rootless.invoke(tool(), LOOK, call(), NOTHING)) == ("upstream_unsupported", NOT_SENT)
        await rootless.close()
        async with upstream(project(tmp_path)) as one:
            for command in (("no-such-program",), ("tools/server.py",), ("python", "a\0b")):
                missing = replace(tool(), command=command, name=command[0])
                assert failed(await one.invoke(missing, LOOK, call(), NOTHING)) == ("upstream_unreachable", NOT_SENT)

    run(scenario())


# --- faults ----------------------------------------------------------------------------------------------------------

# what the program does: (code, how far the request got, what the detail says, whether the process is ended for it)
FAULTS: dict[str, tuple[str, Sent, str, bool]] = {
    "die": ("upstream_closed", UNKNOWN, "exit code 3: first line / fatal: ?[31mno disk; token was [...]", True),
    "die talking": ("upstream_closed", UNKNOWN, "exit code 3: last", True),
    "close output": ("upstream_closed", UNKNOWN, "closed its output", True),
    "flood": ("upstream_too_large", UNKNOWN, "lines over 65536 bytes", True),
    "overlong": ("upstream_too_large", UNKNOWN, "a line over 65536 bytes", False),
    "overlong note": ("upstream_too_large", UNKNOWN, "a line over 65536 bytes", False),
    "chatter": ("upstream_too_large", UNKNOWN, "unasked messages", True),
    "asks for ever": ("upstream_too_large", UNKNOWN, "", True),
    "another id": ("upstream_malformed", UNKNOWN, "an answer to another request", True),
    "null id": ("upstream_malformed", UNKNOWN, "an answer to another request", True),
    "junk": ("upstream_malformed", UNKNOWN, "not strict json", True),
    "batch": ("upstream_malformed", UNKNOWN, "not one message", True),
    "key twice": ("upstream_malformed", UNKNOWN, "duplicate_key", True),
    "both": ("upstream_malformed", ANSWERED, "not one json-rpc answer", False),
    "no content": ("upstream_malformed", ANSWERED, "without a list of typed content", False),
    "wants input": ("upstream_unsupported", ANSWERED, "input_required", False),
    "error": ("upstream_error", ANSWERED, "withheld: it repeats the credential", False),
}


@pytest.mark.requirement("R7.6")
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_code_and_the_next_call_is_served(run: Any, tmp_path: Path, fault: str) -> None:
    code, sent, detail, ended = FAULTS[fault]

    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool()
            assert said(await one.invoke(desk, LOOK, call(), SHOWN)) == {}
            answer = await one.invoke(desk, LOOK, do(fault), SHOWN)
            assert failed(answer) == (code, sent), answer
            assert isinstance(answer, UpstreamFailure)
            assert detail in answer.detail
            assert not any(SECRET[at : at + 12] in answer.detail for at in range(len(SECRET) - 11))
            assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}
        assert len(starts(tmp_path)) == 1 + ended
        assert not any(alive(pid) for pid in starts(tmp_path))

    run(scenario())


@pytest.mark.requirement("R7.6")
def test_calls_under_way_fail_together_when_the_program_dies(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool()
            await one.list_tools(desk)
            hanging = [asyncio.create_task(one.invoke(desk, LOOK, do("hang"), NOTHING)) for _ in range(5)]
            await asyncio.sleep(0)
            assert failed(await one.invoke(desk, LOOK, do("die"), NOTHING)) == ("upstream_closed", UNKNOWN)
            for one_call in hanging:
                assert failed(await one_call) == ("upstream_closed", UNKNOWN)

    run(scenario())


@pytest.mark.requirement("R7.6")
def test_an_overlong_answer_costs_its_own_call_and_neither_the_others_nor_the_process(run: Any, tmp_path: Path) -> None:
    """The control is the call answered with little, which comes through before, beside and after."""

    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool()
            await one.list_tools(desk)
            process = one._programs["desk"]._process
            assert process is not None
            big = asyncio.create_task(one.invoke(desk, LOOK, do("overlong between"), NOTHING))
            await asyncio.sleep(0)
            beside = await one.invoke(desk, LOOK, call(b'{"beside":1}'), NOTHING)
            assert said(beside) == {"beside": 1}
            assert not big.done()  # nobody can tell whose answer was too long: it runs into its own deadline
            assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}
            (waiting,) = process._waiting.values()
            process._expire(waiting)
            assert failed(await big) == ("upstream_timeout", UNKNOWN)
            assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}
            assert process._buffer == b""
        assert len(starts(tmp_path)) == 1

    run(scenario())


@pytest.mark.requirement("R7.6")
def test_an_overlong_answer_after_one_that_was_given_up_fails_nobody(run: Any, tmp_path: Path) -> None:
    """It may be the late answer to that one. The control: with nothing given up, it fails the one call under way."""

    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool()
            for _ in range(3):  # also after the first of them
                assert failed(await one.invoke(desk, LOOK, do("overlong"), NOTHING)) == ("upstream_too_large", UNKNOWN)
            process = one._programs["desk"]._process
            assert process is not None
            late = asyncio.create_task(one.invoke(desk, LOOK, do("overlong between"), NOTHING))
            await asyncio.sleep(0)
            process._expire(next(iter(process._waiting.values())))
            beside = asyncio.create_task(one.invoke(desk, LOOK, call(b'{"beside":1}'), NOTHING))
            assert failed(await late) == ("upstream_timeout", UNKNOWN)
            assert said(await beside) == {"beside": 1}
        assert len(starts(tmp_path)) == 1

    run(scenario())


@pytest.mark.requirement("R7.6")
def test_a_program_that_says_nothing_but_overlong_lines_is_ended(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool()
            process = await one._program(desk).process(asyncio.get_running_loop().time() + 60)
            assert not isinstance(process, UpstreamFailure)
            assert failed(await one.invoke(desk, LOOK, do("overlong for ever"), NOTHING)) == (
                "upstream_too_large",
                UNKNOWN,
            )
            async with asyncio.timeout(60):
                await process.ended
            assert process._fault is not None
            assert "lines over 65536 bytes, " in process._fault.detail
            assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}
        assert len(starts(tmp_path)) == 2

    run(scenario())


@pytest.mark.requirement("R2.3")
@pytest.mark.parametrize("words", [(), ("older",)])
def test_an_answer_that_repeats_the_credential_does_not_reach_the_agent(
    run: Any, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """The whole of it or its signature. The control: its claims alone are good for nothing, and come through."""

    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            for doing in ("repeat", "repeat signature"):
                answer = await one.invoke(tool(*words), LOOK, do(doing), SHOWN)
                assert failed(answer) == ("upstream_malformed", ANSWERED)
                assert isinstance(answer, UpstreamFailure)
                assert answer.detail == "the answer repeats the credential"
            assert said(await one.invoke(tool(*words), LOOK, do("repeat claims"), SHOWN)) == SECRET.split(".")[1]
            assert said(await one.invoke(tool(*words), LOOK, do("repeat"), NOTHING)) == "you said None"
        assert len(starts(tmp_path)) == 1

    run(scenario())


@pytest.mark.requirement("R7.6")
def test_what_waits_for_a_program_is_bounded_in_number_and_in_bytes(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool()
            await one.list_tools(desk)
            hanging = [asyncio.create_task(one.invoke(desk, LOOK, do("hang"), NOTHING)) for _ in range(256)]
            await asyncio.sleep(0)
            assert failed(await one.invoke(desk, LOOK, call(), NOTHING)) == ("upstream_busy", NOT_SENT)
            hanging.pop().cancel()
            await asyncio.sleep(0)
            assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}
            hanging.pop().cancel()
            big = call(canonical_bytes({"text": "x" * 60_000}))
            hanging.append(asyncio.create_task(one.invoke(desk, LOOK, do("deaf"), NOTHING)))
            for waiting in hanging[:40]:
                waiting.cancel()
            await asyncio.sleep(0)
            hanging += [asyncio.create_task(one.invoke(desk, LOOK, big, NOTHING)) for _ in range(30)]
            await asyncio.sleep(0)
            assert failed(await one.invoke(desk, LOOK, call(), NOTHING)) == ("upstream_busy", NOT_SENT)
            await one.close()
            await asyncio.gather(*hanging, return_exceptions=True)

    run(scenario())


def test_arguments_never_become_a_second_message(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            for canonical in (b'{\n"a":1}', b'{\r"a":1}'):
                assert failed(await one.invoke(tool(), LOOK, call(canonical), NOTHING)) == (
                    "upstream_malformed",
                    NOT_SENT,
                )
            assert said(await one.invoke(tool(), LOOK, call(canonical_bytes({"a": "\n"})), NOTHING)) == {"a": "\n"}

    run(scenario())


@pytest.mark.requirement("R7.6")
def test_a_late_answer_is_passed_over_and_the_program_is_told_that_nobody_waits(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool()
            await one.list_tools(desk)
            hurried = replace(LOOK, tool="other")
            process = one._programs["desk"]._process
            assert process is not None
            waiting = asyncio.create_task(one.invoke(desk, hurried, do("late"), NOTHING))
            await asyncio.sleep(0)
            waiting.cancel()  # as a deadline does: the id is given up, the program told
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}
            assert (process.open, len(process._given_up)) == (True, 0)
        assert len(starts(tmp_path)) == 1

    run(scenario())


@pytest.mark.requirement("R7.6")
def test_a_program_that_hangs_times_out_and_is_ended_after_three_silences(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool(timeout_s=0.2)
            process = await one._program(desk).process(asyncio.get_running_loop().time() + 60)
            assert not isinstance(process, UpstreamFailure)
            for expected_open in (True, True, False):
                assert failed(await one.invoke(desk, LOOK, do("hang"), NOTHING)) == ("upstream_timeout", UNKNOWN)
                assert process.open is expected_open
            await process.ended
        assert not alive(starts(tmp_path)[0])

    run(scenario())


@pytest.mark.requirement("R7.6")
def test_a_program_that_never_gets_ready_was_sent_nothing(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            silent = tool("hang at once", timeout_s=0.2)
            assert failed(await one.invoke(silent, LOOK, call(), NOTHING)) == ("upstream_timeout", NOT_SENT)

    run(scenario())


@pytest.mark.requirement("R7.6")
def test_a_program_that_dies_at_once_rests_between_its_starts(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            dead = tool("exit at once")
            for number in range(1, 4):
                answer = await one.invoke(dead, LOOK, call(), NOTHING)
                assert failed(answer) == ("upstream_closed", NOT_SENT)
                assert isinstance(answer, UpstreamFailure)
                assert answer.detail == "before any call: the program ended with exit code 1: cannot start"
                assert len(starts(tmp_path)) == number
                if number > 1:
                    resting = await one.invoke(dead, LOOK, call(), NOTHING)
                    assert failed(resting) == ("upstream_unreachable", NOT_SENT)
                    assert len(starts(tmp_path)) == number
                    one._programs["desk"]._rests_until -= 60

    run(scenario())


def test_a_program_of_a_revision_we_do_not_speak_is_named_as_such(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            old = tool("older", "2024-11-05")
            assert failed(await one.invoke(old, LOOK, call(), NOTHING)) == ("upstream_unsupported", NOT_SENT)

    run(scenario())


@pytest.mark.requirement("R7.6")
@pytest.mark.parametrize("end", ["close", "die"])
def test_nothing_that_a_program_started_outlives_it(run: Any, tmp_path: Path, end: str) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            pids = said(await one.invoke(tool(), LOOK, do("offspring"), NOTHING))
            assert all(alive(pid) for pid in pids)
            if end == "die":  # its child holds its pipes open all the same
                assert failed(await one.invoke(tool(), LOOK, do("die"), NOTHING)) == ("upstream_closed", UNKNOWN)
        await gone(pids)

    run(scenario())


def test_a_stubborn_program_is_killed_and_its_calls_fail(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool()
            assert said(await one.invoke(desk, LOOK, do("stubborn"), NOTHING)) == "no"
            hanging = asyncio.create_task(one.invoke(desk, LOOK, do("hang"), NOTHING))
            await asyncio.sleep(0)
            await one.close()
            assert failed(await hanging) == ("upstream_closed", UNKNOWN)
            assert failed(await one.invoke(desk, LOOK, call(), NOTHING)) == ("upstream_unreachable", NOT_SENT)
        assert not any(alive(pid) for pid in starts(tmp_path))

    run(scenario())


def test_closing_ends_a_program_that_is_still_starting(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            desk = tool("hang at once")
            starting = asyncio.create_task(one.invoke(desk, LOOK, call(), NOTHING))
            while not (tmp_path / "starts").exists():
                await asyncio.wait([starting], timeout=0.01)
            async with asyncio.timeout(20):  # its handshake alone may take longer
                await one.close()
            assert failed(await starting)[1] is NOT_SENT
        assert not any(alive(pid) for pid in starts(tmp_path))

    run(scenario())


def test_another_command_in_the_catalogue_is_another_process(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with upstream(project(tmp_path)) as one:
            first, second = tool(), tool("older")
            old = said(await one.invoke(first, LOOK, do("pid"), NOTHING))
            under_way = asyncio.create_task(one.invoke(first, LOOK, do("pid"), NOTHING))
            await asyncio.sleep(0)
            new = said(await one.invoke(second, LOOK, do("pid"), NOTHING))
            assert said(await under_way) == old  # what was under way got its answer
            assert said(await one.invoke(replace(second), LOOK, do("pid"), NOTHING)) == new != old
            await gone([old])

    run(scenario())


async def gone(pids: list[int]) -> None:
    async with asyncio.timeout(20):
        while any(alive(pid) for pid in pids):
            await asyncio.to_thread(os.sched_yield)


# --- verification ----------------------------------------------------------------------------------------------------


class Reviewer:
    """Counts what it is asked, lists the tools as the real one does, and finds what it is told to find."""

    def __init__(self) -> None:
        self.changed: frozenset[str] = frozenset()
        self.fault: RemitError | None = None
        self.listed: list[tuple[JsonObject, ...]] = []
        self.upstream: McpUpstream | None = None

    async def __call__(self, tool: Tool) -> frozenset[str]:
        assert self.upstream is not None
        self.listed.append(await self.upstream.list_tools(tool))
        if self.fault is not None:
            raise self.fault
        return self.changed


@pytest.mark.requirement("R4.5")
def test_each_new_process_is_verified_once_before_its_first_call(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        reviewer = Reviewer()
        async with upstream(project(tmp_path), on_connect=reviewer) as one:
            reviewer.upstream = one
            desk = tool()
            answers = await asyncio.gather(*(one.invoke(desk, LOOK, call(), NOTHING) for _ in range(20)))
            assert [said(answer) for answer in answers] == [{}] * 20
            assert len(reviewer.listed) == 1
            assert failed(await one.invoke(desk, LOOK, do("die"), NOTHING)) == ("upstream_closed", UNKNOWN)
            assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}
            assert len(reviewer.listed) == 2

    run(scenario())


@pytest.mark.requirement("R4.5")
def test_a_changed_operation_is_not_called_and_another_one_is(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        reviewer = Reviewer()
        reviewer.changed = frozenset({"look"})
        async with upstream(project(tmp_path), on_connect=reviewer) as one:
            reviewer.upstream = one
            desk, other = tool("count"), replace(LOOK, operation="other")
            assert said(await one.invoke(desk, other, call(), NOTHING)) == {}
            for _ in range(2):
                assert failed(await one.invoke(desk, LOOK, do("die"), NOTHING)) == ("tool_changed", NOT_SENT)
            assert len(reviewer.listed) == 1
            reviewer.changed = frozenset()  # reviewed anew
            one._verifications[desk].done_at -= 1.5
            assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}
            assert len(reviewer.listed) == 2
        assert len(starts(tmp_path)) == 1

    run(scenario())


@pytest.mark.requirement("R4.5")
def test_what_cannot_be_verified_is_not_called(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        reviewer = Reviewer()
        reviewer.fault = RemitError("store_unavailable", "no room", "make some")
        async with upstream(project(tmp_path), on_connect=reviewer) as one:
            reviewer.upstream = one
            answer = await one.invoke(tool(), LOOK, do("die"), NOTHING)
            assert failed(answer) == ("tool_unverified", NOT_SENT)
            assert isinstance(answer, UpstreamFailure)
            assert answer.detail == "store_unavailable: no room"
            reviewer.fault = None
            assert said(await one.invoke(tool(), LOOK, call(), NOTHING)) == {}
        assert len(starts(tmp_path)) == 1

    run(scenario())


@pytest.mark.requirement("R4.7")
def test_a_distrusted_program_is_verified_anew_though_it_runs(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        reviewer = Reviewer()
        async with upstream(project(tmp_path), on_connect=reviewer) as one:
            reviewer.upstream = one
            desk = tool()
            assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}
            reviewer.fault = RemitError("upstream_too_large", "a list without end", "mend it")
            assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}  # the control: nobody asks
            one.distrust(desk)
            for _ in range(2):
                assert failed(await one.invoke(desk, LOOK, do("die"), NOTHING)) == ("tool_unverified", NOT_SENT)
            reviewer.fault = None
            for _ in range(2):
                assert said(await one.invoke(desk, LOOK, call(), NOTHING)) == {}
            assert len(reviewer.listed) == 4
        assert len(starts(tmp_path)) == 1

    run(scenario())
