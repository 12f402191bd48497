"""Build the image of the workflow with podman, on a Debian that debootstrap makes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from checkout import TOP
from containers import BASE, IMAGE, podman

# What pip needs where a company's registry or certificate takes the place of the public ones.
PIP_CONFIG = Path("/etc/pip.conf")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image with Debian and Python. It is kept for the next time."""
    if os.getuid() != 0 or not (shutil.which("podman") and shutil.which("debootstrap")):
        pytest.skip("to build an image, these tests need root, podman and debootstrap")
    if podman("image", "exists", BASE).returncode != 0:
        folder = tmp_path_factory.mktemp("base")
        packages = "--include=python3-venv"
        command = ["debootstrap", "--variant=minbase", packages, "bookworm", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as archive:
            imported = podman("import", "-", BASE, stdin=archive.stdout)
        assert imported.returncode == 0, imported.stderr
        shutil.rmtree(folder)
    return BASE


@pytest.fixture(scope="session")
def image(base: str) -> str:
    """The name of the image. Layers that have not changed are taken from the last time."""
    options = ["--network=host", f"--build-arg=BASE={base}", f"--tag={IMAGE}"]
    if PIP_CONFIG.exists():
        options.append(f"--secret=id=pip.conf,src={PIP_CONFIG}")
    if CERTIFICATES.exists():
        options.append(f"--volume={CERTIFICATES}:{CERTIFICATES}:ro")
    built = podman("build", *options, str(TOP))
    assert built.returncode == 0, built.stdout + built.stderr
    return IMAGE
