"""The documents and the refusals of the token service, from a running gateway."""

from tests.conftest import JSON, Gateway, bearer


def test_a_running_gateway_says_where_to_log_in_and_who_gives_tokens(desk: Gateway) -> None:
    for path in ("/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"):
        said = desk.raw(desk.request("GET", path, b"", []))
        assert (said.status, said.json["resource"]) == (200, f"{desk.data}/mcp")
        assert said.json["authorization_servers"] == [desk.data]
    said = desk.raw(desk.request("GET", "/.well-known/oauth-authorization-server", b"", []))
    assert (said.status, said.json["token_endpoint"]) == (200, f"{desk.data}/oauth/token")


def test_a_running_gateway_keeps_a_consent_and_takes_it_back(desk: Gateway) -> None:
    login = bearer(desk.log_in("tom", desk.data))
    assert desk.post("/v1/consents", b'{"agent":"refunds","expires_in":60}', [JSON, login]).status == 200
    assert desk.post("/v1/consents/withdraw", b'{"agent":"refunds"}', [JSON, login]).status == 200
    assert desk.post("/v1/consents/withdraw", b'{"agent":"refunds"}', [JSON, login]).status == 404
    other = bearer(desk.log_in("tom", desk.admin))
    assert desk.post("/v1/consents", b'{"agent":"refunds"}', [JSON, other]).status == 401
