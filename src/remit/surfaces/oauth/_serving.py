"""One endpoint of the token service: a form in, an object out, and a refusal that is said and recorded in one way."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from remit.core import InputRefusedError, JsonObject, Reason, StoreUnavailableError, canonical_bytes
from remit.identity import TokenRefusedError
from remit.pipeline import Refusals
from remit.surfaces._http import BodyRefusedError, Headers, Receive, Send, problem, reply
from remit.surfaces.oauth._form import Asked, read_form
from remit.surfaces.oauth._ports import TokenPorts
from remit.surfaces.oauth._refusals import NO_STORE, reason_of, refuse, refuse_for

Answering = Callable[[TokenPorts, Asked], Awaitable[JsonObject]]


@dataclass(frozen=True, slots=True)
class FormEndpoint:
    """Serves `answering` at `path`."""

    path: str
    answering: Answering
    ports: TokenPorts
    refusals: Refusals

    async def serve(self, method: str, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if method != "POST":
            reason = Reason("method_not_allowed", "a form is sent by POST", f"send POST {self.path}")
            return await problem(send, 405, reason, (b"allow", b"POST"))
        try:
            asked = Asked(await read_form(headers, receive, self.ports.bounds), headers)
        except BodyRefusedError as error:
            close = (b"connection", b"close")
            return await refuse_for(send, error.reason, "invalid_request", error.status, close)
        except InputRefusedError as error:
            return await refuse(send, error, "invalid_request")
        try:
            answer = await self.answering(self.ports, asked)
        except (TokenRefusedError, InputRefusedError) as error:
            named = asked.named(self.ports.clock.now())
            known = error.delegation if isinstance(error, TokenRefusedError) else None
            if known is not None and not known.agent and named is not None:
                known = replace(known, agent=named.agent)
            await self.refusals.record(known or named, reason_of(error))
            return await refuse(send, error, asked.error)
        except StoreUnavailableError as error:
            return await refuse(send, error, asked.error)
        return await reply(send, 200, canonical_bytes(answer), *NO_STORE)
