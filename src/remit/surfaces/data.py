"""The data plane as one raw ASGI application: agents and channels come in here, on its own port.

Every route is in one table; whatever is not in it is 404 and reaches nothing.
"""

from collections.abc import Awaitable, Callable

from remit.core import JsonObject, Reason, canonical_bytes
from remit.surfaces._http import Door, Headers, Receive, Scope, Send, problem, reply

Endpoint = Callable[[str, Headers, Receive, Send], Awaitable[None]]
Health = Callable[[], JsonObject]


class DataPlane:
    """Routes requests that passed the door.

    app = DataPlane(Door(["127.0.0.1:8700"]), {"/mcp": endpoint.serve}, ready)
    """

    def __init__(self, door: Door, routes: dict[str, Endpoint], ready: Health) -> None:
        self._door = door
        self._routes = {**routes, "/healthz": self._healthz, "/readyz": self._readyz}
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request (ASGI 3)."""
        if scope["type"] != "http":
            return None  # no websockets; lifespan is switched off where this is started
        headers = Headers.of(scope)
        refusal = self._door.refusal(headers)
        if refusal is not None:
            return await problem(send, *refusal, (b"connection", b"close"))
        endpoint = self._routes.get(scope["path"])
        if endpoint is None:
            reason = Reason("path_unknown", "nothing is served there", "use /mcp, /v1/tasks or /oauth/token")
            return await problem(send, 404, reason)
        return await endpoint(scope["method"], headers, receive, send)

    async def _healthz(self, _method: str, _headers: Headers, _receive: Receive, send: Send) -> None:
        await reply(send, 200, b'{"status":"alive"}')

    async def _readyz(self, _method: str, _headers: Headers, _receive: Receive, send: Send) -> None:
        health = self._ready()
        await reply(send, 200 if health.get("ready") is True else 503, canonical_bytes(health))
