"""Test the emulator's blob storage, with the SDK's uploads and with single requests."""

from __future__ import annotations

from emulator_client import (
    LARGE_FILE_SIZE,
    capture,
    container_client,
    control,
    needs_sdk,
    open_workspace,
    write_arrays,
)
from emulator_http import open_tunnel, send_request

HOST = "some.blob.core.windows.net"


def client_refused_upload():
    """Upload a folder while blob storage refuses every block."""
    from azureml.core import Dataset

    store = open_workspace().get_default_datastore()
    folder = write_arrays()
    control("PUT", "faults/blob_part_refused")
    uploaded = capture(Dataset.File.upload_directory, folder, (store, "refused"))
    sizes = {blob.name: blob.size for blob in container_client(store).list_blobs("refused/")}
    return [uploaded.get("error"), sizes]


@needs_sdk
def test_sdk_does_not_notice_a_refused_block(run_client, set_fault):
    error, sizes = run_client(client_refused_upload)
    assert error is None
    assert sizes.get("refused/large.npy", 0) != LARGE_FILE_SIZE


def test_blob_storage_writes_reads_lists_and_deletes_blobs(shared_emulator):
    with open_tunnel(shared_emulator, HOST) as connection:

        def send(*arguments, **options):
            return send_request(connection, *arguments, **options)

        chunked = {"body": iter([b"abc", b"defg"]), "encode_chunked": True}
        headers = {"Transfer-Encoding": "chunked", "x-ms-blob-type": "BlockBlob"}
        assert send("PUT", "/box/a%20b", headers=headers, **chunked)[0] == 201
        status, body, found = send("GET", "/box/a%20b", headers={"Range": "bytes=2-3"})
        assert (status, body, found["Content-Range"]) == (206, b"cd", "bytes 2-3/7")
        assert send("HEAD", "/box/a%20b")[2]["Content-Length"] == "7"
        for block, text in (("MQ==", b"one"), ("Mg==", b"two")):
            assert send("PUT", f"/box/c?comp=block&blockid={block}", text)[0] == 201
        blocks = b"<BlockList><Latest>Mg==</Latest><Latest>MQ==</Latest></BlockList>"
        assert send("PUT", "/box/c?comp=blocklist", blocks)[0] == 201
        assert send("PUT", "/box/c?comp=appendblock", b"!")[0] == 201
        assert send("GET", "/box/c")[1] == b"twoone!"
        listed = send("GET", "/box?restype=container&comp=list")[1].decode()
        assert "<Name>a b</Name>" in listed and "<Name>c</Name>" in listed
        assert send("PUT", "/box/c?comp=metadata", headers={"x-ms-meta-name": "c"})[0] == 200
        assert send("HEAD", "/box/c")[2]["x-ms-meta-name"] == "c"
        assert send("PUT", "/box/c?comp=blocklist", blocks)[0] == 400
        assert send("DELETE", "/box/c")[0] == 202
        assert send("GET", "/box/c")[0] == 404


def test_blob_storage_does_not_store_half_a_blob_when_the_client_dies(shared_emulator):
    request_line = f"PUT /box/half HTTP/1.1\r\nHost: {HOST}\r\n".encode()
    for incomplete_request in (
        b"Content-Length: 9\r\n\r\nhalf",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ):
        with open_tunnel(shared_emulator, HOST) as connection:
            connection.connect()
            connection.sock.sendall(request_line + incomplete_request)
        with open_tunnel(shared_emulator, HOST) as connection:
            assert send_request(connection, "HEAD", "/box/half")[0] == 404
