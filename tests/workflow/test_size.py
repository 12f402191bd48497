"""Test that a data set may be larger than the memory."""

import gzip
import json

import numpy as np

from checkout import Checkout
from image_workflow.data import idx
from image_workflow.data.arrays import IDX_FILES
from samples import labelled_images

COPIES = 1000  # of 800 training images of 28 x 28 pixels: 627 MB
LIMIT = 500_000_000  # bytes of memory of each process; the run of the digits needs 400 million
LIMITED = f"""
import os, resource

# OpenBLAS takes memory for each thread, and waits for ever if it gets none.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT}, {LIMIT}))
"""


def test_no_job_holds_an_array_in_memory(checkout: Checkout):
    images, labels = labelled_images(1000, 5, 5, classes=[3, 8])
    images = np.pad(images, [(0, 0), (11, 12), (11, 12)])
    train = np.tile(images[:800], (COPIES, 1, 1)), np.tile(labels[:800], COPIES)
    assert train[0].nbytes > 1.25 * LIMIT
    (source := checkout.path / "data/large").mkdir(parents=True)
    files = {}
    for name, array in zip(IDX_FILES.values(), (*train, images[800:], labels[800:]), strict=True):
        files[name] = idx.payload_sha256(array)
        # Level 9 would take a minute.
        with gzip.open(source / f"{name}.gz", "wb", compresslevel=1) as stream:
            stream.write(idx.header(array.shape))
            stream.write(array.data)
    entry = {"files": files, "sources": [{"folder": str(source)}]}
    # JSON is YAML too.
    (checkout.path / "config/my_datasets.yaml").write_text(json.dumps({"large": entry}))
    config = {"dataset": "large", "backend": "local", "regularization": "[100,1000]"}
    ended = checkout.snakemake_with_patch(LIMITED, **config)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert checkout.receipt()["metrics"]["accuracy"] > 0.9
