"""Pin every requirement: the .txt files with hashes, and the environments of the rules.

azureml.txt, with SDK v2, is resolved first, and local.txt takes over its versions, so that both
environments run the same workflow. slurm.txt takes over all of local.txt but pandas, whose newest
version the executor for Slurm does not accept. Packages of azureml-v1-job.in and serve.in that are
also in local.txt get the same versions, so that the cloud trains the same model as this machine,
and a server gives the same answers.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

TOP = Path(__file__).parents[1]
REQUIREMENTS = TOP / "requirements"
ENVIRONMENTS = TOP / "workflow/envs"


#: The Python of the rules' environments and of the cloud. Other markers are those of this machine.
PYTHON = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "implementation_version": "3.11.0",
}


def locked_versions(lock_file: Path) -> dict[str, str]:
    """Return the versions that a lock file pins on CPython 3.11, by package."""
    lines = re.findall(r"^([a-z0-9].*?)\s*\\?$", lock_file.read_text(encoding="utf-8"), re.M)
    pins = [Requirement(line) for line in lines]
    # A package may have a version for each of several ranges of Python versions.
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(PYTHON)]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in here}


def pin_environment(path: Path, versions: dict[str, str]) -> None:
    """Replace the versions in a conda environment file with the locked ones."""
    text = path.read_text(encoding="utf-8")
    pin = re.compile(r"(?<=- )([a-z0-9-]+)((?:\[\w+\])?)==\S+")
    pinned = pin.sub(lambda m: f"{m[1]}{m[2]}=={versions[m[1]]}", text)
    path.write_text(pinned, encoding="utf-8")


def pin_requirements(path: Path, versions: dict[str, str]) -> None:
    """Replace the exact versions in requirements with the locked ones."""
    text = path.read_text(encoding="utf-8")
    pin = re.compile(r"^([a-z0-9-]+)==\S+", re.M)
    path.write_text(pin.sub(lambda m: f"{m[1]}=={versions[m[1]]}", text), encoding="utf-8")


def compile_lock(name: str, *constraints: str) -> None:
    """Write ``{name}.txt`` from ``{name}.in``, for CPython 3.11 and newer on every platform.

    Packages of the lock files ``constraints`` keep those versions. The others get the newest.
    """
    run_uv(name, "--upgrade", *(f"--constraints={lock}" for lock in constraints))


def extend_lock(name: str, lock: str) -> None:
    """Do the same with the versions of another lock file, except those that do not fit."""
    shutil.copyfile(REQUIREMENTS / lock, REQUIREMENTS / f"{name}.txt")
    run_uv(name)  # It prefers the versions that the file has.


def run_uv(name: str, *more: str) -> None:
    """Run ``uv pip compile``."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--universal", *more]
    options = ["--python-version=3.11", "--generate-hashes", "--no-emit-index-url", "--no-header"]
    files = [f"{name}.in", f"--output-file={name}.txt"]
    subprocess.run([*command, "--quiet", *options, *files], cwd=REQUIREMENTS, check=True)


if __name__ == "__main__":
    compile_lock("azureml")
    compile_lock("local", "azureml.txt")
    compile_lock("registry", "local.txt")
    compile_lock("dev", "local.txt", "registry.txt")
    compile_lock("fuzz", "local.txt")
    extend_lock("slurm", "local.txt")
    local = locked_versions(REQUIREMENTS / "local.txt")
    for name in ("azureml-v1-job", "serve"):
        pin_requirements(REQUIREMENTS / f"{name}.in", local)
    for name in ("azureml-v1", "azureml-v1-job", "serve"):
        compile_lock(name)
    versions = local
    for name in ("serve", "azureml-v1-job"):
        versions = locked_versions(REQUIREMENTS / f"{name}.txt") | versions
    for environment in sorted(ENVIRONMENTS.glob("*.yaml")):
        pin_environment(environment, versions)
