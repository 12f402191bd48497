"""Emulate Entra ID: tokens for a service principal and for jobs."""

from __future__ import annotations

import base64
import json
import secrets
import time
import urllib.parse
import uuid

from ..messages import Request, Response, ServiceError, json_response, route
from .service import Service

LIFETIME_SECONDS = 3600


class Entra(Service):
    """Issue unsigned tokens to clients that know the secret, and recognize these tokens later."""

    hosts = ("login.microsoftonline.com", "login.windows.net")
    needs_token = False

    def __init__(self, emulator):
        super().__init__(emulator)
        self.tenant, self.client = str(uuid.uuid4()), str(uuid.uuid4())
        self.secret = secrets.token_urlsafe(24)
        self._issued_tokens: set[str] = set()

    def issue_token(self, subject: str) -> str:
        """Return a new token."""
        claims = {"sub": subject, "oid": subject, "tid": self.tenant, "jti": secrets.token_hex(8)}
        claims["exp"] = int(time.time()) + LIFETIME_SECONDS
        parts = (_encode_part({"alg": "none", "typ": "JWT"}), _encode_part(claims), "")
        token = ".".join(parts)
        self._issued_tokens.add(token)
        return token

    def check_token(self, authorization: str) -> None:
        """Reject a request unless its Authorization header contains an issued token."""
        if authorization.partition(" ")[2] not in self._issued_tokens:
            raise ServiceError(
                401, "InvalidAuthenticationToken", "The access token is missing or invalid."
            )

    @route("GET", "/{tenant}/v2.0/.well-known/openid-configuration")
    def configuration(self, request: Request, tenant: str) -> Response:
        """Describe the tenant's endpoints."""
        if tenant not in (self.tenant, "common", "organizations"):
            return _unknown_tenant_response(tenant)
        base = f"{request.origin}/{tenant}"
        return json_response(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            }
        )

    @route("GET", "/common/discovery/instance")
    def instance(self, request: Request) -> Response:
        """Describe the cloud. Some client libraries request this first."""
        endpoint = f"{request.origin}/{self.tenant}/v2.0/.well-known/openid-configuration"
        return json_response({"tenant_discovery_endpoint": endpoint, "metadata": []})

    @route("POST", "/{tenant}/oauth2/v2.0/token")
    def token(self, request: Request, tenant: str) -> Response:
        """Return a token in exchange for the secret."""
        form = dict(urllib.parse.parse_qsl(request.body.decode()))
        if tenant != self.tenant:
            return _unknown_tenant_response(tenant)
        if form.get("client_id") != self.client:
            message = f"Application with identifier '{form.get('client_id')}' was not found."
            return _error_response(400, "unauthorized_client", "AADSTS700016", message)
        if form.get("client_secret") != self.secret or self.faults.trigger("wrong_secret"):
            message = f"Invalid client secret provided for app '{self.client}'."
            return _error_response(401, "invalid_client", "AADSTS7000215", message)
        token = self.issue_token(self.client)
        return json_response(
            {"token_type": "Bearer", "expires_in": LIFETIME_SECONDS, "access_token": token}
        )


def _encode_part(value: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _unknown_tenant_response(tenant: str) -> Response:
    message = f"Tenant '{tenant}' not found."
    return _error_response(400, "invalid_tenant", "AADSTS90002", message)


def _error_response(status: int, error: str, code: str, message: str) -> Response:
    body = {"error": error, "error_description": f"{code}: {message}"}
    return json_response(body | {"error_codes": [int(code.removeprefix("AADSTS"))]}, status)
