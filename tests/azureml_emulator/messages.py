"""What travels between the proxy and the services."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass
class Request:
    """One HTTP request, its body already read."""

    method: str
    host: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, method: str, host: str, target: str, headers, body: bytes) -> Request:
        """Build a request from the request line's target; header names become lower case."""
        parts = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        names = {name.lower(): value for name, value in headers.items()}
        return cls(method, parts.hostname or host, parts.path or "/", query, names, body)

    @property
    def origin(self) -> str:
        """Scheme and host, the start of absolute links in answers."""
        return f"https://{self.host}"

    def json(self):
        """Return the decoded body, an empty object where there is none."""
        return json.loads(self.body or b"{}")


@dataclass
class Response:
    """One HTTP answer. The body of an answer to HEAD is measured, not sent."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """A request that a service turns down, in the error format that the SDK parses."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    @property
    def error(self) -> dict:
        """The words; the SDK fails on its own errors when `details` is missing."""
        return {"code": self.code, "message": self.message, "details": []}


def answer(value, status: int = 200, **headers: str) -> Response:
    """Return a JSON answer; underscores in header names stand for hyphens."""
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    names["Content-Type"] = "application/json"
    return Response(status, json.dumps(value).encode(), names)


def page(values) -> Response:
    """Return a complete list in the services' paged format."""
    return answer({"value": list(values), "continuationToken": None, "nextLink": None})


def now() -> str:
    """Return the time as the services write it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


WORKSPACE = (
    "/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
)


@dataclass
class Route:
    """A method and a path pattern: `{name}` is a segment, `{name*}` the rest, `{WS}` a scope."""

    method: str
    pattern: re.Pattern
    name: str

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the decoded parts of the path, or None."""
        found = self.pattern.fullmatch(path) if method == self.method else None
        return found and {
            name: urllib.parse.unquote(text) for name, text in found.groupdict().items()
        }


def _compile(pattern: str) -> re.Pattern:
    pieces = re.split(r"\{(\w+\*?)\}", pattern.replace("{WS}", WORKSPACE))
    texts = [re.escape(text) for text in pieces[::2]]
    names = [
        f"(?P<{name[:-1]}>.*)" if name.endswith("*") else f"(?P<{name}>[^/]+)"
        for name in pieces[1::2]
    ]
    joined = "".join(text + name for text, name in zip(texts, [*names, ""], strict=True))
    # The clients disagree on the case of fixed segments, and some double a slash.
    return re.compile(joined, re.IGNORECASE)


def route(method: str, *patterns: str) -> Callable:
    """Mark a service's method as the handler of a request."""

    def mark(handler):
        routes = [Route(method, _compile(pattern), handler.__name__) for pattern in patterns]
        handler.routes = getattr(handler, "routes", []) + routes
        return handler

    return mark
