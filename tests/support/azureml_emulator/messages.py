"""Define the requests, responses, errors and routes that the proxy and the services share."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass
class Request:
    """Hold one HTTP request with its complete body."""

    method: str
    host: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, method: str, host: str, target: str, headers, body: bytes) -> Request:
        """Build a request from the target in the request line. Header names become lower case."""
        parts = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        lower_headers = {name.lower(): value for name, value in headers.items()}
        return cls(method, parts.hostname or host, parts.path or "/", query, lower_headers, body)

    @property
    def origin(self) -> str:
        """Return scheme and host, with which absolute links in responses begin."""
        return f"https://{self.host}"

    def json(self):
        """Return the decoded body, or an empty object if there is no body."""
        return json.loads(self.body or b"{}")


@dataclass
class Response:
    """Hold one HTTP response. The proxy does not send the body in response to HEAD."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class ServiceError(Exception):
    """Make a service answer with an error, in the format that the SDK parses."""

    def __init__(self, status: int, code: str, message: str, inner_code: str = ""):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.inner_code = inner_code

    @property
    def error(self) -> dict:
        """Return the error as JSON. The SDK cannot parse an error without `details`."""
        error = {"code": self.code, "message": self.message, "details": []}
        if self.inner_code:
            info = {"type": "InnerError", "info": {"value": {"code": self.inner_code}}}
            error["additionalInfo"] = [info]
        return error


def json_response(value, status: int = 200, **headers: str) -> Response:
    """Return a JSON response. Underscores in header names stand for hyphens."""
    all_headers = {name.replace("_", "-"): text for name, text in headers.items()}
    all_headers["Content-Type"] = "application/json"
    return Response(status, json.dumps(value).encode(), all_headers)


def page_response(values) -> Response:
    """Return a complete list in the services' paged format."""
    return json_response({"value": list(values), "continuationToken": None, "nextLink": None})


def now() -> str:
    """Return the current time in the services' format."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


#: The workspace's resource id, with which the paths of most requests begin.
WORKSPACE_PATH = (
    "/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
)


@dataclass
class Route:
    """Match a method and a path, and name the handler.

    In a pattern, `{name}` stands for one segment of the path, `{name*}` for all remaining segments,
    and `{WS}` for the workspace's resource id.
    """

    method: str
    pattern: re.Pattern
    name: str

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the decoded variables of the path, or None if the route does not match."""
        matched = self.pattern.fullmatch(path) if method == self.method else None
        return matched and {
            name: urllib.parse.unquote(text) for name, text in matched.groupdict().items()
        }


def _compile_pattern(pattern: str) -> re.Pattern:
    pieces = re.split(r"\{(\w+\*?)\}", pattern.replace("{WS}", WORKSPACE_PATH))
    texts = [re.escape(text) for text in pieces[::2]]
    groups = [
        f"(?P<{name[:-1]}>.*)" if name.endswith("*") else f"(?P<{name}>[^/]+)"
        for name in pieces[1::2]
    ]
    expression = "".join(text + group for text, group in zip(texts, [*groups, ""], strict=True))
    # The SDK's clients spell fixed segments in different cases.
    return re.compile(expression, re.IGNORECASE)


def route(method: str, *patterns: str) -> Callable:
    """Return a decorator that makes a service's method the handler of requests."""

    def add_routes(handler):
        expressions = [_compile_pattern(pattern) for pattern in patterns]
        routes = [Route(method, expression, handler.__name__) for expression in expressions]
        handler.routes = getattr(handler, "routes", []) + routes
        return handler

    return add_routes
