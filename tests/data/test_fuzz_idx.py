"""Random files, and those that the fuzzer found worth keeping, are read right or refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fuzz_idx
from image_workflow.data import idx

INPUTS = [bytes.fromhex(line) for line in fuzz_idx.INPUTS.read_text().split()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def test_the_inputs_of_the_fuzzer_are_read_right_or_refused(folder: Path):
    outcomes = {content: fuzz_idx.check(content, folder) for content in INPUTS}
    assert set(outcomes.values()) == {"an array", "refused"}


SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4)
ODD_SHAPES = st.lists(st.sampled_from([0, 1, 2**31, 2**32 - 1]), max_size=5)


@st.composite
def idx_like_files(draw: st.DrawFn) -> bytes:
    """Draw a file that is IDX data, or almost: raw or gzipped, whole, longer, cut or changed."""
    shape = draw(SHAPES | ODD_SHAPES)
    element_type = draw(st.sampled_from([*fuzz_idx.DTYPES, 8, 8, 10]))
    order = draw(st.sampled_from(["big", "big", "little"]))
    head = bytes([0, 0, element_type, len(shape)])
    head += b"".join(size.to_bytes(4, order) for size in shape)
    content = fuzz_idx.completed(head, 4096)
    damaged_before_gzip = draw(st.booleans())
    if damaged_before_gzip:
        content = draw(damaged(content))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        content = gzip.compress(content, draw(st.integers(0, 9)), mtime=0)
    return content if damaged_before_gzip or draw(st.booleans()) else draw(damaged(content))


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut a part of the content, or replace a part by some bytes."""
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(start + 4, len(content))) | st.just(len(content)))
    return content[:start] + draw(st.binary(max_size=4)) + content[end:]


@settings(max_examples=300)
@given(content=idx_like_files())
def test_random_files_are_read_right_or_refused(content: bytes, folder: Path):
    fuzz_idx.check(content, folder)


def test_the_second_reader_reads_what_is_written(tmp_path: Path):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    idx.write(tmp_path / "images.gz", images)
    np.testing.assert_array_equal(fuzz_idx.array_of((tmp_path / "images.gz").read_bytes()), images)
