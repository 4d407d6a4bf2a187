"""Where an issuer's keys are (OpenID Connect Discovery 1.0, section 4; RFC 8414, section 3)."""

from urllib.parse import urlsplit

from remit.adapters.oidc._fetch import Fetch, FetchFailedError, may_be_fetched
from remit.core import InputRefusedError, JsonObject, parse_strict


def well_known(issuer: str) -> tuple[str, str]:
    """Return the two addresses of an issuer's metadata: OpenID Connect puts its path in front, RFC 8414 behind."""
    parts = urlsplit(issuer)
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return (
        f"{host}{path}/.well-known/openid-configuration",
        f"{host}/.well-known/oauth-authorization-server{path}",
    )


async def discover(issuer: str, fetch: Fetch) -> str:
    """Return the address of an issuer's key set.

    The second address is asked only where nothing is to be had at the first: a document that is wrong is no reason to
    look for a better one.

    Raises:
        FetchFailedError: there is no metadata, it is another issuer's, or its key set may not be fetched.
    """
    openid, oauth = well_known(issuer)
    try:
        body = await fetch(openid)
    except FetchFailedError:
        body = await fetch(oauth)
    metadata = _object(body)
    # (RFC 8414, section 3.3: identical, or nothing in it counts.)
    if metadata.get("issuer") != issuer:
        raise FetchFailedError("the metadata there is of another issuer")
    keys_at = metadata.get("jwks_uri")
    if not isinstance(keys_at, str) or not may_be_fetched(keys_at):
        raise FetchFailedError("`jwks_uri` is missing, or neither https nor http on this machine")
    if issuer.startswith("https:") and not keys_at.startswith("https:"):
        raise FetchFailedError("`jwks_uri` is less well protected than the issuer")
    return keys_at


def _object(body: bytes) -> JsonObject:
    try:
        said = parse_strict(body)
    except InputRefusedError as error:
        raise FetchFailedError(f"the metadata is {error.message}") from error
    if not isinstance(said, dict):
        raise FetchFailedError("the metadata is no JSON object")
    return said
