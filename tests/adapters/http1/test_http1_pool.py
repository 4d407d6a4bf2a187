"""The pool: connections are kept, bounded, judged before reuse, and never carry a request twice."""

import asyncio
import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from remit.adapters.http1 import Bounds, Pool, PoolLimits, Response, Target, prepare_target
from remit.pipeline import Sent, UpstreamFailure

pytestmark = pytest.mark.requirement("R7.6")

PATIENT = Bounds(10.0, 1 << 20)
HURRIED = Bounds(0.2, 1 << 20)


def whole(body: bytes, extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n%b" % (len(body), extra, body)


def target(peer: Any, scheme: str = "http") -> Target:
    return prepare_target(f"{scheme}://127.0.0.1:{peer.port}/mcp")


async def ask(pool: Pool, peer: Any, body: bytes = b"{}", bounds: Bounds = PATIENT) -> Response | UpstreamFailure:
    return await pool.post(target(peer), b"", body, bounds)


async def body_of(pool: Pool, peer: Any, body: bytes = b"{}") -> bytes:
    answer = await ask(pool, peer, body)
    assert isinstance(answer, Response), answer
    return answer.body


def failed(answer: Response | UpstreamFailure) -> tuple[str, Sent]:
    assert isinstance(answer, UpstreamFailure), answer
    return answer.code, answer.sent


def test_calls_share_one_connection_and_the_request_is_as_written(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda n, _head, body: play(whole(b"%d:" % n + body))) as peer:
            pool = Pool()
            assert await body_of(pool, peer, b"one") == b"0:one"
            assert await body_of(pool, peer, b"two") == b"1:two"
            assert peer.accepted == pool.connections == 1
            expected = f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{peer.port}\r\ncontent-length: 3\r\n\r\n"
            assert peer.heads == [expected.encode()] * 2
            await pool.close()
            await peer.gone()
            assert pool.connections == 0

    run(scenario())


def test_200_calls_over_8_connections_each_get_their_own_answer(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, body: play(whole(b"for " + body), piece=7)) as peer:
            pool = Pool(PoolLimits(connections_max=8))
            marks = [b"call-%d" % number for number in range(200)]
            answers = await asyncio.gather(*(body_of(pool, peer, mark) for mark in marks))
            assert answers == [b"for " + mark for mark in marks]
            assert peer.accepted == pool.connections == 8
            await pool.close()
            await peer.gone()

    run(scenario())


def test_waiters_are_served_in_the_order_of_asking(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(whole(b""))) as peer:
            pool = Pool(PoolLimits(connections_max=1))
            marks = [b"%d" % number for number in range(20)]
            await asyncio.gather(*(body_of(pool, peer, mark) for mark in marks))
            assert peer.bodies == marks
            await pool.close()

    run(scenario())


def test_a_connection_the_peer_closed_between_calls_is_noticed(run: Any, serving: Any, play: Any) -> None:
    """The peer hangs up behind each answer without saying so; no call may meet the dead connection."""

    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(whole(b"ok"), then="close")) as peer:
            pool = Pool()
            for _ in range(5):
                assert await body_of(pool, peer) == b"ok"
                await peer.gone()  # the end of the connection has left the peer
            assert (peer.accepted, len(peer.bodies)) == (5, 5)
            await pool.close()

    run(scenario())


@pytest.mark.parametrize(("unused_s", "connections"), [(5.0, 2), (1.0, 1)])
def test_a_connection_idle_too_long_is_not_used_again(
    run: Any, serving: Any, play: Any, unused_s: float, connections: int
) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(whole(b"ok"))) as peer:
            pool = Pool(PoolLimits(idle_s_max=4.0))
            await body_of(pool, peer)
            pool._origins[target(peer).origin]._idle[0].idle_since -= unused_s
            await body_of(pool, peer)
            assert (peer.accepted, pool.connections) == (connections, 1)
            await pool.close()
            await peer.gone()

    run(scenario())


def test_connections_left_over_from_a_busy_time_are_closed(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(whole(b"ok"))) as peer:
            pool = Pool(PoolLimits(idle_s_max=4.0))
            await asyncio.gather(*(body_of(pool, peer) for _ in range(3)))
            idle = pool._origins[target(peer).origin]._idle
            for connection in idle[:2]:
                connection.idle_since -= 5.0
            await body_of(pool, peer)
            assert (peer.accepted, pool.connections, len(idle)) == (3, 1, 1)
            await pool.close()
            await peer.gone()

    run(scenario())


@pytest.mark.parametrize("used", [True, False], ids=["a connection", "a place"])
def test_what_a_cancelled_waiter_was_given_goes_to_the_next(run: Any, serving: Any, play: Any, used: bool) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(whole(b"ok"))) as peer:
            pool = Pool(PoolLimits(connections_max=1))
            await body_of(pool, peer)
            origin = pool._origins[target(peer).origin]
            deadline = asyncio.get_running_loop().time() + 10
            held = origin.take_idle()
            assert held is not None
            waiting = [asyncio.create_task(origin.take(deadline)) for _ in range(2)]
            await asyncio.sleep(0)
            if not used:
                held.abort()
            origin.give_back(held)
            waiting[0].cancel()
            given = (await asyncio.gather(*waiting, return_exceptions=True))[1]
            assert (given is held) is used
            assert not isinstance(given, UpstreamFailure | BaseException)
            origin.give_back(given)
            assert peer.accepted == (1 if used else 2)
            await pool.close()
            await peer.gone()

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (whole(b"ok"), 1),
        (whole(b"ok", b"connection: close\r\n"), 2),
        (whole(b"ok") + b"more", 2),
        (whole(b"ok") + whole(b"unasked"), 2),
        (whole(b"ok").replace(b"1.1", b"1.0", 1), 2),
    ],
    ids=["whole", "says close", "extra bytes", "a second answer", "http/1.0"],
)
def test_only_a_silent_connection_is_used_again(
    run: Any, serving: Any, play: Any, answer: bytes, connections: int
) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(answer)) as peer:
            pool = Pool()
            assert await body_of(pool, peer) == b"ok"
            assert await body_of(pool, peer) == b"ok"
            assert peer.accepted == connections
            await pool.close()
            await peer.gone()

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + whole(b"ok"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\ntrailer: 1\r\n\r\n",
    ],
    ids=["after informational answers", "chunked with a trailer"],
)
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_an_answer_is_read_however_it_is_cut(run: Any, serving: Any, play: Any, answer: bytes, piece: int) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(answer, piece=piece)) as peer:
            pool = Pool()
            assert await body_of(pool, peer) == b"ok"
            assert await body_of(pool, peer) == b"ok"
            assert peer.accepted == 1
            await pool.close()

    run(scenario())


def test_a_cancelled_call_closes_its_connection(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        def script(count: int, _head: bytes, _body: bytes) -> Any:
            asked.set()
            return play(whole(b"ok")[:-1], then="hang") if count == 0 else play(whole(b"ok"))

        async with serving(script) as peer:
            pool = Pool(PoolLimits(connections_max=1))
            call = asyncio.create_task(ask(pool, peer))
            await asked.wait()
            waiting = [asyncio.create_task(ask(pool, peer)) for _ in range(2)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            call.cancel()
            results = await asyncio.gather(call, *waiting, return_exceptions=True)
            assert [type(result) for result in results] == [asyncio.CancelledError, asyncio.CancelledError, Response]
            assert (peer.accepted, pool.connections) == (2, 1)
            await pool.close()
            await peer.gone()

    run(scenario())


def test_waiting_is_bounded_in_time_and_number_and_nothing_is_sent(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        def script(_count: int, _head: bytes, _body: bytes) -> Any:
            asked.set()
            return play(b"", then="hang")

        async with serving(script) as peer:
            pool = Pool(PoolLimits(connections_max=1, waiting_max=1))
            first = asyncio.create_task(ask(pool, peer))
            await asked.wait()
            second = asyncio.create_task(ask(pool, peer, bounds=HURRIED))
            await asyncio.sleep(0)
            assert failed(await ask(pool, peer)) == ("upstream_busy", Sent.NOT_SENT)
            assert failed(await second) == ("upstream_timeout", Sent.NOT_SENT)
            assert len(peer.bodies) == 1
            await pool.close()
            assert failed(await first) == ("upstream_closed", Sent.UNKNOWN)
            assert failed(await ask(pool, peer)) == ("upstream_unreachable", Sent.NOT_SENT)
            await peer.gone()

    run(scenario())


def test_closing_the_pool_turns_waiters_away_unsent(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        def script(_count: int, _head: bytes, _body: bytes) -> Any:
            asked.set()
            return play(b"", then="hang")

        async with serving(script) as peer:
            pool = Pool(PoolLimits(connections_max=1))
            calls = [asyncio.create_task(ask(pool, peer)) for _ in range(3)]
            await asked.wait()
            await pool.close()
            ends = [failed(await call) for call in calls]
            assert ends == [("upstream_closed", Sent.UNKNOWN), *[("upstream_unreachable", Sent.NOT_SENT)] * 2]
            await peer.gone()

    run(scenario())


def test_a_time_that_is_up_sends_nothing(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(whole(b"ok"))) as peer:
            pool = Pool()
            await body_of(pool, peer)
            assert failed(await ask(pool, peer, bounds=Bounds(0.0, 100))) == ("upstream_timeout", Sent.NOT_SENT)
            assert await body_of(pool, peer) == b"ok"
            assert (peer.accepted, len(peer.bodies)) == (1, 2)
            await pool.close()

    run(scenario())


def test_a_refused_connection_is_not_sent(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(whole(b"ok"))) as peer:
            pass  # the port is free again
        pool = Pool(PoolLimits(connections_max=1))
        answers = await asyncio.gather(*(ask(pool, peer) for _ in range(5)))
        assert [failed(answer) for answer in answers] == [("upstream_unreachable", Sent.NOT_SENT)] * 5
        assert pool.connections == 0
        await pool.close()

    run(scenario())


def test_origins_are_bounded_and_unused_ones_make_room(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        answer = play(whole(b"ok"))
        asked = asyncio.Event()

        def busy(_count: int, _head: bytes, _body: bytes) -> Any:
            asked.set()
            return play(b"", then="hang")

        async with serving(lambda *_: answer) as first, serving(busy) as second:
            pool = Pool(PoolLimits(origins_max=1))
            await body_of(pool, first)
            call = asyncio.create_task(ask(pool, second))
            await asked.wait()
            await first.gone()
            assert failed(await ask(pool, first)) == ("upstream_busy", Sent.NOT_SENT)
            await pool.close()
            await call

    run(scenario())


@pytest.mark.parametrize("refused", [False, True])
def test_a_new_connection_is_asked_about_before_its_first_request_and_never_again(
    run: Any, serving: Any, play: Any, refused: bool
) -> None:
    no = UpstreamFailure(code="no", sent=Sent.NOT_SENT, detail="")

    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(whole(b"ok"))) as peer:
            pool, asked = Pool(), []

            async def on_new(deadline: float) -> UpstreamFailure | None:
                asked.append((deadline > asyncio.get_running_loop().time(), len(peer.bodies)))
                return no if refused else None

            for _ in range(2):
                answer = await pool.post(target(peer), b"", b"{}", PATIENT, None, on_new)
                assert (answer is no) if refused else isinstance(answer, Response)
            assert asked == [(True, 0)] * (2 if refused else 1)
            assert (len(peer.bodies), pool.connections) == ((0, 0) if refused else (2, 1))
            await pool.close()
            await peer.gone()

    run(scenario())


def test_a_connection_that_ends_while_it_is_asked_about_was_sent_nothing(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(whole(b"ok"))) as peer:
            pool = Pool()

            async def on_new(_: float) -> None:
                while not peer.tasks:  # noqa: ASYNC110 - the peer has no event for it
                    await asyncio.sleep(0)
                for task in list(peer.tasks):
                    task.cancel()
                await peer.gone()

            answer = await pool.post(target(peer), b"", b"{}", PATIENT, None, on_new)
            assert failed(answer) == ("upstream_closed", Sent.NOT_SENT)
            assert await body_of(pool, peer) == b"ok"
            await pool.close()

    run(scenario())


def test_a_pool_apart_uses_no_connection_twice_and_waits_for_none(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        def script(_count: int, _head: bytes, body: bytes) -> Any:
            asked.set()
            return play(b"", then="hang") if body == b"hang" else play(whole(b"ok"))

        async with serving(script) as peer:
            pool = Pool(PoolLimits(connections_max=1))
            apart = pool.apart()
            hanging = asyncio.create_task(ask(pool, peer, b"hang"))
            await asked.wait()
            for _ in range(2):
                assert await body_of(apart, peer) == b"ok"
                assert apart.connections == 0
            assert peer.accepted == 3
            await pool.close()
            await hanging
            await apart.close()
            await peer.gone()

    run(scenario())


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a server's context for 127.0.0.1 and a client's context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "both.pem").write_bytes(pem + built.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "both.pem")
    return server, ssl.create_default_context(cadata=built.public_bytes(serialization.Encoding.PEM).decode())


def test_tls_is_checked_against_the_context_given(run: Any, serving: Any, play: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        server, client = certificate(tmp_path)
        async with serving(lambda _n, _head, _body: play(whole(b"ok")), server) as peer:
            trusting, default = Pool(tls=client), Pool()
            for _ in range(2):
                answer = await trusting.post(target(peer, "https"), b"", b"{}", PATIENT)
                assert isinstance(answer, Response), answer
            assert len(peer.bodies) == 2
            distrusted = await default.post(target(peer, "https"), b"", b"{}", PATIENT)
            assert failed(distrusted) == ("upstream_unreachable", Sent.NOT_SENT)
            assert len(peer.bodies) == 2
            assert (trusting.connections, default.connections) == (1, 0)
            await trusting.close()
            await default.close()

    run(scenario())


def test_a_peer_that_never_shakes_hands_is_given_up(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(b"")) as peer:
            pool = Pool(PoolLimits(connect_s_max=0.1))
            answer = await pool.post(target(peer, "https"), b"", b"{}", PATIENT)
            assert failed(answer) == ("upstream_unreachable", Sent.NOT_SENT)
            await pool.close()
            await peer.gone()

    run(scenario())


def test_plain_http_never_loads_the_trust_store(run: Any, serving: Any, play: Any) -> None:
    async def scenario() -> None:
        async with serving(lambda _n, _head, _body: play(whole(b"ok"))) as peer:
            pool = Pool()
            await body_of(pool, peer)
            assert pool._tls is None
            first, second = pool._tls_context(), pool._tls_context()
            assert first is second
            await pool.close()

    run(scenario())
