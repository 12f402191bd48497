"""Say what a file is, from its first bytes, and what to do instead of using it.

The IDX format itself is in :mod:`image_workflow.data.idx`.
"""

import re
from codecs import getincrementaldecoder
from typing import NamedTuple

#: How many bytes tell what a file is.
BEGINNING = 512

OWN_IMAGES = "Add the data set's files as your own images: see docs/your-own-images.md."
UNPACK = "Unpack it, and use the files in it."
SAVE = f"Save its images and labels as an .npz file. {OWN_IMAGES}"
PICTURE = "Put pictures into a folder with a subfolder for each class: see docs/your-own-images.md."
AGAIN = "Copy or download it again."
TABLE = "If it is a table of pixels, let its name end in .csv: see docs/your-own-images.md."
SERVER = (
    "A server sent it instead of the file, because of a login, a proxy or a wrong address: open "
    "the address in a browser, and get the file itself."
)
SWAP_BYTES = "Save it in big-endian byte order, as IDX files are."


class Kind(NamedTuple):
    """What a file is, and what to do instead of using it; empty if unknown."""

    name: str
    remedy: str = ""


GZIP = Kind("a gzip file in a gzip file", "Unpack it once, with gunzip.")
NPY = Kind("a NumPy array (.npy)", OWN_IMAGES)
NPZ = Kind("a NumPy archive (.npz)", OWN_IMAGES)
HTML = Kind("an HTML page", SERVER)
EMPTY = Kind("an empty file", AGAIN)
ZEROS = Kind("a file that begins with zero bytes", AGAIN)

SIGNATURES = {
    b"\x1f\x8b": GZIP,
    b"PK\x03\x04": Kind("a zip archive", UNPACK),
    b"PK\x05\x06": Kind("an empty zip archive", AGAIN),
    b"7z\xbc\xaf\x27\x1c": Kind("a 7z archive", UNPACK),
    b"Rar!\x1a\x07": Kind("a RAR archive", UNPACK),
    b"BZh": Kind("a bzip2 file", UNPACK),
    b"\xfd7zXZ\0": Kind("an xz file", UNPACK),
    b"\x28\xb5\x2f\xfd": Kind("a zstd file", UNPACK),
    b"\x89PNG": Kind("a PNG picture", PICTURE),
    b"\xff\xd8\xff": Kind("a JPEG picture", PICTURE),
    b"GIF8": Kind("a GIF picture", PICTURE),
    b"II*\0": Kind("a TIFF picture", PICTURE),
    b"MM\0*": Kind("a TIFF picture", PICTURE),
    b"\x93NUMPY": NPY,
    b"MATLAB ": Kind("a MATLAB file (.mat)", SAVE),
    b"\x89HDF\r\n\x1a\n": Kind("an HDF5 file", SAVE),
    b"PAR1": Kind("a Parquet file", SAVE),
    b"%PDF": Kind("a PDF document", PICTURE),
    b"SQLite format 3\0": Kind("an SQLite database", SAVE),
    b"version https://git-lfs": Kind(
        "a pointer of Git LFS", "Fetch the file itself with `git lfs pull`."
    ),
}


def kind_of(start: bytes) -> Kind:
    """Return what a file is that begins with these bytes, uncompressed; 512 are enough.

    Examples
    --------
    >>> kind_of(b"<!DOCTYPE html>").name, kind_of(b"label,pixel0").name
    ('an HTML page', "a text that begins with 'label,pixel0'")
    """
    if not start:
        return EMPTY
    if len(start) >= 4 and not any(start):
        return ZEROS
    for signature, kind in SIGNATURES.items():
        if start.startswith(signature):
            return NPZ if _first_member(start).endswith(b".npy") else kind
    if start[257:262] == b"ustar":
        return Kind("a tar archive", UNPACK)
    if re.match(rb"\x80[\2-\5]", start):
        return Kind("a Python pickle", SAVE)
    return _text_kind(start) or Kind(f"a file that begins with the bytes {start[:4].hex(' ')}")


def _first_member(start: bytes) -> bytes:
    """Return the name of the first file in a zip archive, or nothing for other files."""
    return start[30 : 30 + start[26]] if start.startswith(b"PK\x03\x04") and start[26:] else b""


def _text_kind(start: bytes) -> Kind | None:
    """Return which kind of text it is, or None for binary data."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Kind("a text in UTF-16", "Save it in UTF-8.")
    try:
        # An incremental decoder, because the last character may be cut off.
        text = getincrementaldecoder("utf-8-sig")().decode(start).strip()
    except UnicodeDecodeError:
        return None
    if len(text) < 4 or re.search(r"[\0-\x08\x0e-\x1f\x7f]", text):
        return None
    if text.startswith("<") and re.search(r"<(!doctype )?html", text, re.I):
        return HTML
    if text.startswith(("<?xml", "<Error")):
        code = re.search(r"<Code>(\w{1,40})</Code>", text)
        name = f"an error message of a server ({code[1]})" if code else "an XML document"
        return Kind(name, SERVER)
    if text.startswith(("{", "[")):
        return Kind("JSON", SERVER)
    return Kind(f"a text that begins with {text.splitlines()[0][:20]!a}", TABLE)
