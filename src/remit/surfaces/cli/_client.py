"""The admin API's client: a named person's login, kept in a file only they can read."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from remit.core import Json, JsonObject, Problem, ProjectInvalidError, RemitError

GATEWAY_FILE = "var/gateway.json"
LOGIN_FILE = "var/login.json"
SECRET_FILE = "var/development.secret"  # noqa: S105 - a file's name
WAIT_S = 30.0  # for one answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A running gateway and a person's login at it. `data` and `admin` are base URLs."""

    data: str
    admin: str
    tokens: JsonObject

    def get(self, path: str) -> Json:
        """Ask the admin API."""
        return _json(self._ask("GET", self.admin, path, None, {}))

    def post(self, path: str, body: JsonObject) -> Json:
        """Tell the admin API."""
        return _json(self._ask("POST", self.admin, path, body, {}))

    def post_data(self, path: str, body: JsonObject, token: str | None = None, **headers: str) -> httpx2.Response:
        """Send to the data plane, as the person's channel or, with `token`, as an agent. Any status is an answer."""
        return _sent(
            "POST", self.data + path, body, {"authorization": f"Bearer {token or self._token(self.data)}", **headers}
        )

    @contextmanager
    def lines(self, path: str) -> Iterator[Iterator[str]]:
        """Stream a long answer of the admin API, line by line."""
        headers = {"authorization": f"Bearer {self._token(self.admin)}"}
        try:
            with httpx2.stream("GET", self.admin + path, headers=headers, timeout=WAIT_S, trust_env=False) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _refusal(answer)
                yield (line + "\n" for line in answer.iter_lines())
        except httpx2.TransportError as error:
            raise _unreachable(self.admin) from error

    def _ask(
        self, method: str, base: str, path: str, body: JsonObject | None, headers: dict[str, str]
    ) -> httpx2.Response:
        answer = _sent(method, base + path, body, {"authorization": f"Bearer {self._token(base)}", **headers})
        if answer.status_code >= 400:
            raise _refusal(answer)
        return answer

    def _token(self, audience: str) -> str:
        token = self.tokens.get(audience)
        if not isinstance(token, str):
            raise RemitError("login_needed", "nobody is logged in here", "run `remit login NAME`")
        return token


def connect(root: Path) -> Client:
    """Find the gateway that runs on the project in `root` and the login kept there.

    Raises:
        RemitError: `not_running` or `login_needed`.
    """
    where = _read(root / GATEWAY_FILE)
    if where is None:
        raise RemitError("not_running", "no gateway runs on this project", "start it with `remit up`")
    login = _read(root / LOGIN_FILE) or {}
    tokens = login.get("tokens")
    return Client(data=str(where["data"]), admin=str(where["admin"]), tokens=tokens if isinstance(tokens, dict) else {})


def log_in(root: Path, person: str) -> None:
    """Log `person` in at the running gateway's development issuer, and keep the login.

    Raises:
        RemitError: `not_running`, `login_refused`.
    """
    client = connect(root)
    try:
        secret = (root / SECRET_FILE).read_text("ascii").strip()
    except OSError as error:
        raise RemitError("secret_unreadable", f"cannot read {SECRET_FILE}", "log in as its owner") from error
    tokens: JsonObject = {}
    for audience in (client.data, client.admin):
        wanted: JsonObject = {"person": person, "secret": secret, "audience": audience}
        answer = _sent("POST", client.admin + "/development/token", wanted, {})
        if answer.status_code != 200:
            raise _refusal(answer)
        got = _json(answer)
        tokens[audience] = got["token"] if isinstance(got, dict) else None
    path = root / LOGIN_FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"person": person, "tokens": tokens}, file)


def _sent(method: str, url: str, body: JsonObject | None, headers: dict[str, str]) -> httpx2.Response:
    try:
        return httpx2.request(method, url, json=body, headers=headers, timeout=WAIT_S, trust_env=False)
    except httpx2.TransportError as error:
        raise _unreachable(url) from error


def _unreachable(url: str) -> RemitError:
    return RemitError("not_running", f"nothing answers at {url}", "start the gateway with `remit up`")


def _refusal(answer: httpx2.Response) -> RemitError:
    try:
        said = answer.json()
        code, title, fix = str(said["code"]), str(said["title"]), str(said["fix"])
    except (ValueError, KeyError, TypeError):
        return RemitError("gateway_fault", f"the gateway answered {answer.status_code}", "see its output")
    if code == "request_invalid":
        title = f"{title}: {'; '.join(map(str, said.get('problems', [])))}"
    if code == ProjectInvalidError.CODE:
        return ProjectInvalidError(tuple(Problem(**problem) for problem in said["problems"]))
    return RemitError(code, title, fix)


def _json(answer: httpx2.Response) -> Json:
    value: Json = answer.json()
    return value


def _read(path: Path) -> JsonObject | None:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
