"""A pooled HTTP/1.1 client for the way out: persistent connections, everything bounded, nothing sent twice.

Rules: a request is written once and never again, so what failed before the write is `NOT_SENT` and what failed after it
is `UNKNOWN`, unless the peer did answer and broke its protocol. No redirect is followed. A connection is used again
only when its last answer was whole and nothing follows it. Works on asyncio and uvloop.

    pool, target = Pool(PoolLimits()), prepare_target("http://127.0.0.1:9000/mcp")
    answer = await pool.post(target, header_block([("accept", "*/*")]), b"{}", Bounds(5.0, 1 << 20))
    match answer:
        case Response(status=200, body=body): ...
        case UpstreamFailure(code, sent, detail): ...
"""

from remit.adapters.http1._codes import Code, refusal
from remit.adapters.http1._limits import Bounds, PoolLimits
from remit.adapters.http1._pool import Pool
from remit.adapters.http1._response import Response
from remit.adapters.http1._target import Target, header_block, prepare_target

__all__ = ["Bounds", "Code", "Pool", "PoolLimits", "Response", "Target", "header_block", "prepare_target", "refusal"]
