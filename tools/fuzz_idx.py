"""Try a million inputs of a coverage-guided fuzzer on the IDX reader, raw and gzipped.

For each input, a second reader says which array it is, if any. The workflow's reader must return
the same array, or refuse the input with a UserError, within a bounded memory. `make fuzz` runs it.
"""

import argparse
import gzip
import inspect
import io
import math
import random
import resource
import shutil
import struct
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow/scripts"))

import parse
from image_workflow.data import idx, kinds
from image_workflow.errors import UserError

#: Inputs from which the fuzzer starts, and those that it found worth keeping; one a line, in hex.
INPUTS = Path(__file__).parents[1] / "tests/data/idx_inputs.txt"
MOST_BYTES = 512  # of an input; its gzip stream may have 500 kB of zeros
#: Linux's folder of files in memory. On a disk, the inputs would take some times as long.
IN_MEMORY = Path("/dev/shm")
MEMORY = 256 << 20  # bytes that a call may need


# ---- A second reader -----------------------------------------------------------------------

DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def payload_of(content: bytes) -> bytes | None:
    """Return the uncompressed content, or None if its gzip stream is damaged."""
    try:
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, OSError, zlib.error):
        return None


def array_of(content: bytes) -> np.ndarray | None:
    """Return the array of an IDX file, or None if it is none: written apart from idx.py."""
    payload = payload_of(content)
    if payload is None or len(payload) < 4 or payload[0] or payload[1]:
        return None
    dtype, dimensions = DTYPES.get(payload[2]), payload[3]
    start = 4 + 4 * dimensions
    if dtype is None or not 1 <= dimensions <= 4 or len(payload) < start:
        return None
    shape = struct.unpack(f">{dimensions}I", payload[4:start])
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not size or size != len(payload) - start:
        return None
    return np.ndarray(shape, dtype, payload, start)


# ---- The comparison ------------------------------------------------------------------------


def check(content: bytes, folder: Path) -> str:
    """Assert that all readers of an IDX file agree with :func:`array_of`; return what it is."""
    source, target = folder / "input.gz", folder / "array.npy"
    source.write_bytes(content)
    expected = array_of(content)
    try:
        found = idx.read(source)
    except UserError as error:
        found = None
        assert_sentence(str(error))
    assert_equal(found, expected)
    for dimensions in (1, 3):
        fits = expected is not None and expected.dtype == np.uint8 and expected.ndim == dimensions
        try:
            shape = parse.parse_idx(source, target, dimensions)
        except UserError as error:
            found = None
            assert_sentence(str(error))
        else:
            found = np.load(target)
            assert shape == found.shape
        assert_equal(found, expected if fits else None)
    payload = payload_of(content)
    if payload is not None:
        assert_sentence(idx.described(payload[: kinds.BEGINNING]).name)
        check_header(payload, expected)
    return "refused" if expected is None else "an array"


def check_header(payload: bytes, expected: np.ndarray | None) -> None:
    """Assert that the header is read as the file is, if the file is whole."""
    try:
        _, shape = idx.read_any_header(io.BytesIO(payload))
    except UserError as error:
        assert_sentence(str(error))
        assert expected is None
    else:
        assert expected is None or shape == expected.shape


def assert_equal(found: np.ndarray | None, expected: np.ndarray | None) -> None:
    """Assert that both are the same array, or that both are None."""
    assert (found is None) == (expected is None), (found, expected)
    if found is not None:
        assert found.dtype == expected.dtype.newbyteorder("=")
        assert found.shape == expected.shape
        assert found.tobytes() == expected.astype(found.dtype).tobytes()


def assert_sentence(text: str) -> None:
    """Assert that a message is one line that a terminal can show."""
    assert text and text.isprintable(), text


# ---- The fuzzer ----------------------------------------------------------------------------


def mutated(content: bytes, most: int, seed: int) -> bytes:
    """Return a changed input. Without this, hardly any change would survive gzip's checksum."""
    import atheris

    choose = random.Random(seed)
    payload = payload_of(content)
    if payload is None or len(payload) > most or choose.random() < 0.1:
        return atheris.Mutate(content, most)
    payload = atheris.Mutate(payload, most)
    if choose.random() < 0.5:
        payload = completed(payload, most)
    if choose.random() < 0.5:
        payload = gzip.compress(payload, choose.choice([0, 1, 9]), mtime=0)
    return payload[:most]


def completed(payload: bytes, most: int) -> bytes:
    """Return the payload with as many elements as its header promises, if there is room."""
    try:
        element_type, shape = idx.read_any_header(io.BytesIO(payload))
    except UserError:
        return payload
    size = 4 + 4 * len(shape) + math.prod(shape) * np.dtype(DTYPES[element_type]).itemsize
    return payload.ljust(size, b"\7")[:size] if size <= most else payload


def fuzz(options: argparse.Namespace) -> None:
    """Run the fuzzer. It ends the process, with an exit code other than 0 after a failure."""
    import atheris

    for module in (idx, kinds, parse):
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                atheris.instrument_func(inspect.unwrap(function))
    folder = Path(
        tempfile.mkdtemp(prefix="fuzz_idx", dir=IN_MEMORY if IN_MEMORY.is_dir() else None)
    )
    corpus = options.corpus or folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, line in enumerate(INPUTS.read_text().split()):
        (corpus / f"{number}").write_bytes(bytes.fromhex(line))
    used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, resource.RLIM_INFINITY))
    outcomes = Counter()

    def try_one(content: bytes) -> None:
        outcomes[check(content, folder)] += 1
        if outcomes.total() == options.inputs:
            print(", ".join(f"{name}: {count:,}" for name, count in outcomes.items()))
            shutil.rmtree(folder)

    arguments = [f"-runs={options.inputs}", f"-max_len={MOST_BYTES}", f"-seed={options.seed}"]
    atheris.Setup(
        [sys.argv[0], *arguments, "-timeout=10", f"-artifact_prefix={folder}/", str(corpus)],
        try_one,
        custom_mutator=mutated,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--corpus", type=Path, help="the folder that keeps inputs with new behaviour"
    )
    fuzz(parser.parse_args())
