"""The server answers each request, whatever it is, and ends cleanly."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

import serving
from serving import accuracy, picture

pytestmark = pytest.mark.skipif(not serving.PYTHON.exists(), reason=serving.REASON)

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def images(registered_digits: Path) -> np.ndarray:
    return np.load(registered_digits / "results/arrays/test-images.npy")


@contextmanager
def connected(server: serving.Server) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def asked(
    connection: http.client.HTTPConnection, method: str, path: str, body: object = None, **headers
) -> tuple[int, dict | bytes]:
    """Send a request, and return the status and the content of the answer."""
    connection.request(method, path, body, JSON | headers)
    answer = connection.getresponse()
    content = answer.read()
    return answer.status, json.loads(content) if answer.getheader("Content-Type") == JSON[
        "Content-Type"
    ] else content


def post(server: serving.Server, body: object) -> tuple[int, dict]:
    with connected(server) as connection:
        return asked(connection, "POST", "/score", body)


def sent(server: serving.Server, *parts: bytes, pause: float = 0, end: bool = False) -> bytes:
    """Send bytes with pauses between them, and return all that the server sends until it closes.

    ``end`` tells the server that nothing more follows.
    """
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as client:
        received = b""
        with suppress(ConnectionError):
            for part in parts:
                client.sendall(part)
                time.sleep(pause)
            if end:
                client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while data := client.recv(65536):
                received += data
    return received


def parsed(answer: bytes) -> tuple[int, dict]:
    """Return the status and the JSON of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def answers_well(server: serving.Server, image: np.ndarray) -> bool:
    """Tell whether a right request is answered."""
    status, answer = post(server, json.dumps({"data": [image.tolist()]}))
    return status == 200 and len(answer["labels"]) == 1


def is_refused(status: int, content: object) -> bool:
    """Tell whether an answer has a status of a client's error, and a sentence."""
    return 400 <= status < 500 and len(content["message"].split()) > 2


# ---- Right requests --------------------------------------------------------------------------


def test_the_test_images_give_the_accuracy_of_metrics_json(
    server: serving.Server, images: np.ndarray, registered_digits: Path
):
    status, answer = post(server, json.dumps({"data": images.tolist()}))
    assert status == 200
    found, expected = accuracy(answer, registered_digits)
    assert found == expected


def test_a_picture_is_answered_with_what_the_model_saw(server: serving.Server, images: np.ndarray):
    status, answer = post(server, json.dumps({"picture": picture(images[0])}))
    assert status == 200
    assert answer["labels"][0] in answer["class_names"]
    assert np.shape(answer["image"]) == (8, 8)


def test_the_page_and_the_health_probe_are_served(server: serving.Server):
    with connected(server) as connection:
        status, page = asked(connection, "GET", "/draw")
        assert (status, b"<html" in page) == (200, True)
        assert asked(connection, "GET", "/") == (200, b"Healthy")


# ---- Wrong requests --------------------------------------------------------------------------


def wrong_bodies(random: np.random.Generator, image: list) -> Iterator[bytes]:
    """Yield bodies that are wrong, without end."""
    values = [-1, 256, 0.5, 1e300, float("nan"), float("inf"), None, "7", True, [], {}, 10**30]
    while True:
        yield random.bytes(random.integers(1, 300))
        good = json.dumps({"data": [image]})
        yield good[: random.integers(len(good) - 1)].encode()
        shape = random.integers(0, 12, random.integers(1, 4)).tolist()
        if shape[1:] not in ([8, 8], [64]):
            yield json.dumps({"data": random.integers(0, 256, shape).tolist()}).encode()
        spoiled = [list(row) for row in image]
        row, column = random.integers(8, size=2)
        value = values[random.integers(len(values))]
        if value is not True:  # NumPy takes it for 1 among numbers.
            spoiled[row][column] = value
            yield json.dumps({"data": [spoiled]}).encode()
        yield json.dumps({"picture": random.bytes(40).hex() * 2}).encode()
        depth = int(random.integers(1000, 200_000))
        yield b'{"data":' + b"[" * depth
        yield json.dumps({"data": [[pixel / 255 for pixel in row] for row in image]}).encode()
        key = "".join(map(chr, random.integers(32, 1000, 8)))
        yield json.dumps({key: [image]}, ensure_ascii=False).encode("utf-8", "replace")


def test_a_thousand_wrong_bodies_are_refused_with_a_sentence(
    server: serving.Server, images: np.ndarray
):
    bodies = wrong_bodies(np.random.default_rng(7), images[0].tolist())
    with connected(server) as connection:
        for _, body in zip(range(1000), bodies, strict=False):
            status, content = asked(connection, "POST", "/score", body)
            assert is_refused(status, content), (body[:200], status, content)
            assert status == 400
    assert answers_well(server, images[0])


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        *((method, "/score", 405) for method in ("PUT", "DELETE", "PATCH", "TRACE", "BREW")),
        ("GET", "/score", 400),
        ("POST", "/", 405),
        ("POST", "/draw", 404),
        *(("GET", path, 404) for path in ("/nowhere", "/draw/", "/../../etc/passwd", "/%00")),
        ("POST", "/score/1", 404),
        ("GET", f"/{'x' * 9000}", 414),
    ],
    ids=lambda value: str(value)[:20],
)
def test_another_method_or_path_is_refused(
    server: serving.Server, method: str, path: str, expected: int
):
    with connected(server) as connection:
        status, content = asked(connection, method, path, b"{}")
    assert (status, is_refused(status, content)) == (expected, True)


HEAD = b"POST /score HTTP/1.1\r\nHost: x\r\n"
NOT_HTTP = {
    "words": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "zeros": bytes(20_000),
    "noise": np.random.default_rng(1).bytes(100_000),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\n\r\n",
    "lower case": b"get / http/1.1\r\n\r\n",
    "a header without colon": b"GET / HTTP/1.1\r\nnothing\r\n\r\n",
    "a zero in a header": b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    "a huge header": b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "10,000 headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\n",
    "a length in words": HEAD + b"Content-Length: ten\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: secret\r\n\r\n",
    "a chunk without size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
    "an expectation": HEAD + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}",
    "less than announced": HEAD + b"Content-Length: 50\r\n\r\n{}",
    "a script name": HEAD + b"SCRIPT_NAME: /other\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_no_http_is_refused_or_closed(
    server: serving.Server, images: np.ndarray, name: str
):
    answer = sent(server, NOT_HTTP[name], end=True)
    # A client that has ended within its request gets no answer.
    assert not answer or is_refused(*parsed(answer)), answer
    assert answers_well(server, images[0])


@pytest.mark.parametrize("size", [64 * 2**20 + 1, 100_000_000])
def test_a_body_above_the_limit_is_refused_though_the_client_sends_all_of_it(
    server: serving.Server, images: np.ndarray, size: int
):
    status, content = post(server, bytes(size))
    assert status == 413
    assert content["message"].startswith("The request has more than 64 MB.")
    assert answers_well(server, images[0])


def test_a_body_in_chunks_has_the_same_limit(server: serving.Server, images: np.ndarray):
    status, content = post(server, (bytes(2**20) for _ in range(100)))
    assert (status, content["message"][:33]) == (413, "The request has more than 64 MB. ")
    good = json.dumps({"data": images.tolist()}).encode()
    pieces = (good[at : at + 5000] for at in range(0, len(good), 5000))
    assert post(server, pieces)[0] == 200


# ---- Slow clients ----------------------------------------------------------------------------


def test_slow_clients_are_refused_and_keep_nobody_waiting(
    server: serving.Server, images: np.ndarray
):
    body_head = HEAD + b"Content-Length: 100\r\n\r\n"
    kinds = {
        "drips its header": [b"P", b"O", b"S", b"T"] + [b" "] * 60,
        "drips its body": [body_head] + [b"{"] * 60,
        "drips its chunks": [HEAD + b"Transfer-Encoding: chunked\r\n\r\n"] + [b"1\r\n{\r\n"] * 60,
        "stops in its header": [HEAD],
        "stops in its body": [body_head + b"{"],
        "says nothing": [],
    }
    with (
        does_not_read_its_answer(server, images),
        ThreadPoolExecutor(20 * len(kinds)) as pool,
    ):
        assert answers_well(server, images[0])
        slow = {
            name: [pool.submit(sent, server, *parts, pause=0.3) for _ in range(20)]
            for name, parts in kinds.items()
        }
        futures = [future for answers in slow.values() for future in answers]
        time.sleep(1)
        assert not any(future.done() for future in futures)
        # Others are answered while they send, and while they are refused.
        while not all(future.done() for future in futures):
            asked_at = time.monotonic()
            assert answers_well(server, images[0])
            assert time.monotonic() - asked_at < 5
            time.sleep(0.1)
        refused = "The request did not arrive within 10 seconds. Send it again, faster."
        for name, answers in slow.items():
            for answer in answers:
                if name == "says nothing":
                    assert not answer.result()
                else:
                    assert parsed(answer.result()) == (408, {"message": refused}), name
        assert answers_well(server, images[0])


@contextmanager
def does_not_read_its_answer(server: serving.Server, images: np.ndarray) -> Iterator[None]:
    """Connect a client that asks for an answer too large for the buffers, and does not read it."""
    body = json.dumps({"data": images.tolist() * 60}).encode()
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        yield
