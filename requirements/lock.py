"""Pin every requirement: the .txt files with hashes, and the environments of the rules alike.

The packages of azureml-job.in that local.txt has are pinned as there, so that a model trained in
the cloud is the one that is trained here.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / "workflow/envs"


def pins(lock_file: Path) -> dict[str, str]:
    """Return the versions that a lock file pins on CPython 3.11, by package."""
    found = re.findall(r"^([a-z0-9-]+)==([^\s;]+)", lock_file.read_text(encoding="utf-8"), re.M)
    # Where versions fork by Python's, the one for the oldest Python comes first.
    return dict(reversed(found))


def pin_environment(path: Path, versions: dict[str, str]) -> None:
    """Give the pip pins of a conda environment file the locked versions."""
    text = path.read_text(encoding="utf-8")
    pin = re.compile(r"(?<=- )([a-z0-9-]+)((?:\[\w+\])?)==\S+")
    pinned = pin.sub(lambda m: f"{m[1]}{m[2]}=={versions[m[1]]}", text)
    path.write_text(pinned, encoding="utf-8")


def pin_job(path: Path, versions: dict[str, str]) -> None:
    """Give the exact pins of the job's requirements the locked versions."""
    text = path.read_text(encoding="utf-8")
    pin = re.compile(r"^([a-z0-9-]+)==\S+", re.M)
    path.write_text(pin.sub(lambda m: f"{m[1]}=={versions[m[1]]}", text), encoding="utf-8")


def compile_lock(name: str) -> None:
    """Write ``{name}.txt`` from ``{name}.in``, for CPython 3.11 and newer on every platform."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--universal", "--upgrade"]
    options = ["--python-version=3.11", "--generate-hashes", "--no-emit-index-url", "--no-header"]
    files = [f"{name}.in", f"--output-file={name}.txt"]
    subprocess.run([*command, "--quiet", *options, *files], cwd=HERE, check=True)


if __name__ == "__main__":
    for name in ("local", "dev"):
        compile_lock(name)
    local = pins(HERE / "local.txt")
    pin_job(HERE / "azureml-job.in", local)
    for name in ("azureml", "azureml-job"):
        compile_lock(name)
    for environment in sorted(ENVIRONMENTS.glob("*.yaml")):
        pin_environment(environment, pins(HERE / "azureml-job.txt") | local)
