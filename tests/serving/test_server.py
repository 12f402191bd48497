"""The server of tools/serve.py answers each request, whatever it is, and ends cleanly."""

from urllib.request import urlopen

import pytest

import serving

needs_server = pytest.mark.skipif(
    not serving.PYTHON.exists(), reason="needs `make setup-serve`, or SERVE_PYTHON"
)
pytestmark = needs_server


def test_the_page_is_served(server: serving.Server):
    with urlopen(f"{server.url}/draw") as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert b"<html" in answer.read()
