"""Entra ID: tokens for a service principal, and for the jobs."""

from __future__ import annotations

import base64
import json
import secrets
import time
import urllib.parse
import uuid

from ..messages import Refusal, Request, Response, answer, route
from .service import Service

LIFETIME = 3600


class Entra(Service):
    """Gives unsigned tokens to the holder of the secret, and knows its own tokens again."""

    hosts = ("login.microsoftonline.com", "login.windows.net")
    needs_token = False

    def __init__(self, emulator):
        super().__init__(emulator)
        self.tenant, self.client = str(uuid.uuid4()), str(uuid.uuid4())
        self.secret = secrets.token_urlsafe(24)
        self._issued: set[str] = set()

    def issue(self, subject: str, lifetime: int = LIFETIME) -> str:
        """Return a new token."""
        claims = {"sub": subject, "oid": subject, "tid": self.tenant, "jti": secrets.token_hex(8)}
        claims["exp"] = int(time.time()) + lifetime
        token = ".".join((_part({"alg": "none", "typ": "JWT"}), _part(claims), ""))
        self._issued.add(token)
        return token

    def check(self, authorization: str) -> None:
        """Refuse a request without a token of ours."""
        if authorization.partition(" ")[2] not in self._issued:
            raise Refusal(
                401, "InvalidAuthenticationToken", "The access token is missing or invalid."
            )

    @route("GET", "/{tenant}/v2.0/.well-known/openid-configuration")
    def configuration(self, request: Request, tenant: str) -> Response:
        """Describe the tenant's endpoints."""
        base = f"{request.origin}/{tenant}"
        return answer(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            }
        )

    @route("GET", "/common/discovery/instance")
    def instance(self, request: Request) -> Response:
        """Describe the cloud, which some client libraries ask for first."""
        endpoint = f"{request.origin}/{self.tenant}/v2.0/.well-known/openid-configuration"
        return answer({"tenant_discovery_endpoint": endpoint, "metadata": []})

    @route("POST", "/{tenant}/oauth2/v2.0/token")
    def token(self, request: Request, tenant: str) -> Response:
        """Exchange the secret for a token."""
        form = dict(urllib.parse.parse_qsl(request.body.decode()))
        if tenant != self.tenant:
            return _refuse(400, "invalid_request", "AADSTS90002", f"Tenant '{tenant}' not found.")
        if form.get("client_id") != self.client:
            message = f"Application with identifier '{form.get('client_id')}' was not found."
            return _refuse(400, "unauthorized_client", "AADSTS700016", message)
        if form.get("client_secret") != self.secret or self.faults.strike("wrong_secret"):
            message = f"Invalid client secret provided for app '{self.client}'."
            return _refuse(401, "invalid_client", "AADSTS7000215", message)
        token = self.issue(self.client)
        return answer({"token_type": "Bearer", "expires_in": LIFETIME, "access_token": token})


def _part(value: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _refuse(status: int, error: str, code: str, message: str) -> Response:
    body = {"error": error, "error_description": f"{code}: {message}"}
    return answer(body | {"error_codes": [int(code.removeprefix("AADSTS"))]}, status)
