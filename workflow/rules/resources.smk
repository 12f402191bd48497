# What the rules state of their jobs: mem_mb, disk_mb in MB and runtime in minutes. A cluster needs it.
#
# mem_mb has room for the whole of a mapped file: most clusters count its pages as memory of the job.
# runtime is several times what this takes on two cores, as nodes and their disks may be slow.
# `python benchmarks/scale.py` compares what is stated with what is used.

import math


def by_size(base, share):
    """Return a function that returns ``base``, and ``share`` for each MB of a job's inputs."""

    def amount(wildcards, input):
        return math.ceil(base + share * input.size_mb)

    return amount


# An estimator of the user's own gets float64 numbers, eight bytes for a pixel, and may copy them.
# A comparison maps the data set, and a copy of it in two parts.
FIT_MEMORY = by_size(800, 20 if SETTINGS.is_own else 2.3 if IS_SWEEP else 1.3)


def fit_minutes(fits):
    """Return a function that returns the run time of so many fits. An own estimator may need more."""
    return by_size(60 if SETTINGS.is_own else 20, 0.005 * fits)
