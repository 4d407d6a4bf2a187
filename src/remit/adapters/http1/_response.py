"""A whole HTTP answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. `headers` keep their order and their repetitions; names are lower case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """Return the value of `name` (lower case), repetitions joined by a comma (RFC 9110, section 5.3)."""
        found = [value for key, value in self.headers if key == name]
        return b", ".join(found) if found else None
