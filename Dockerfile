# An image with the workflow and its pinned packages, for any user id: docs/container.md

# Any image with Python 3.11 or newer and its module venv. Pin it by its digest to build the same
# image next year.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# The packages come first, so that an edit of the code does not install them again.
COPY requirements/local.txt /opt/workflow/requirements/local.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --no-deps --require-hashes --requirement /opt/workflow/requirements/local.txt

COPY Snakefile /opt/workflow/
COPY config /opt/workflow/config
COPY profiles /opt/workflow/profiles
COPY workflow /opt/workflow/workflow
# Whoever runs the image can read the code, but has nowhere to put compiled modules.
RUN chmod -R a+rX /opt/workflow \
    && /opt/venv/bin/python -m compileall -q /opt/workflow/workflow/scripts

# A user id without an entry in /etc/passwd has no home for caches.
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp
# Mount a folder here: it gets the results, the downloads and the registry.
WORKDIR /work
ENTRYPOINT ["snakemake", "--snakefile", "/opt/workflow/Snakefile"]
