"""The packages that the user's own estimator needs beside those of the workflow.

They come from a requirements.txt or a conda file. Each has an exact version, because the versions
decide the model. They are added to the environments of the rules that train or load the model.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, Specifier
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from image_workflow.configuration import load
from image_workflow.errors import UserError, nearest
from image_workflow.files import replacing
from image_workflow.lineage.checksums import sha256_of_json
from image_workflow.lineage.pins import installed_version, pinned_versions

CONDA_SUFFIXES = ".yaml", ".yml"
CONDA_KEYS = "name", "channels", "dependencies", "prefix"
CHANNEL = r"[\w.-]+(/label/[\w.-]+)?"
#: One entry of a conda file: the channel, the name, and what follows.
CONDA_ENTRY = re.compile(r"(?:([\w.-]+)::)?(\w[\w.-]*)\s*(.*)")
SECRETS = "addresses and options can contain passwords, which must not reach the cloud or a receipt"


@dataclass(frozen=True)
class Pin:
    """A package with its version.

    Attributes
    ----------
    name : str
        Without extras.
    version : str
    text : str
        As a conda environment file has it.
    is_conda : bool
        Whether conda installs it. Otherwise pip does.
    """

    name: str
    version: str
    text: str
    is_conda: bool = False

    def allows(self, version: str) -> bool:
        """Return whether a version is the pinned one. The workflow pins Python as 3.11 only."""
        any_patch = ".*" if self.name == "python" else ""
        try:
            pinned = Specifier(f"=={self.version}{any_patch}")
            return pinned.contains(version, prereleases=True)
        except (InvalidSpecifier, InvalidVersion):  # conda has other forms of versions as well.
            return version == self.version


@dataclass(frozen=True)
class Packages:
    """The packages that a user's file names.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    channels : list of str
        Where conda looks for packages, the first one first.
    pins : list of Pin
        Sorted by name.
    """

    path: Path
    channels: list[str]
    pins: list[Pin]

    @property
    def digest(self) -> str:
        """The digest of the packages; neither the file's place nor its comments change it."""
        return sha256_of_json([self.channels, [pin.text for pin in self.pins]])


# ---- Read ------------------------------------------------------------------------------------


def read_packages(path: Path, environments: Iterable[Path]) -> Packages:
    """Return the packages in a requirements.txt or conda file.

    Parameters
    ----------
    path : pathlib.Path
        A conda file ends with .yaml or .yml.
    environments : iterable of pathlib.Path
        The workflow's own conda environment files.

    Raises
    ------
    UserError
        If the file cannot be read, or if a package has no exact version, or another one than in
        the workflow.
    """
    if not os.path.exists(path):
        raise UserError(f"extra_packages names {path}, which does not exist. Correct the path.")
    ours = workflow_versions(environments)
    if path.suffix in CONDA_SUFFIXES:
        channels, found = _conda_file(path, ours)
    else:
        channels, found = [], list(_requirements(_lines(path), ours))
    first = {}
    for pin in found:
        name = canonicalize_name(pin.name)
        if name in ours and not pin.allows(ours[name]):
            raise UserError(
                f"{path} has {pin.text}, and the workflow itself needs {name}=={ours[name]}. "
                "Pin that version, or leave the package out."
            )
        if first.setdefault(name, pin).version != pin.version:
            raise UserError(f"{path} has {first[name].text} and {pin.text}. Remove one of them.")
    return Packages(path, channels, sorted(set(found), key=lambda pin: (pin.name, pin.text)))


def workflow_versions(environments: Iterable[Path]) -> dict[str, str]:
    """Return the versions that environment files pin, by the normalized names of the packages."""
    return {
        canonicalize_name(package.partition("[")[0]): version
        for environment in environments
        for package, version in pinned_versions(environment).items()
    }


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield a requirements.txt's lines without comments, each after the place where it begins.

    Lines that end with a backslash are joined with the next one.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8. Save it as UTF-8.") from error
    joined, start = "", 1
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        start = start if joined else number
        joined += re.sub(r"(^|\s)#.*", "", line).strip()
        if joined.endswith("\\"):
            joined = joined.removesuffix("\\") + " "
        elif joined:
            yield f"{path}, line {start}", joined
            joined = ""


def _requirements(lines: Iterable[tuple[str, str]], ours: dict[str, str]) -> Iterator[Pin]:
    """Yield the pins of pip requirements, each of which comes after the place where it is."""
    for where, line in lines:
        # No message has the line itself, which may contain a password.
        text = re.sub(r"\s--hash[=\s]\S+", "", line)
        if option := re.search(r"(?:^|\s)(--[a-z-]+|-[A-Za-z])", text):
            raise UserError(
                f"{where}: expected a package with its version, such as xgboost==2.1.0, found the "
                f"option {option[1]}. Remove it, because {SECRETS}; pip's own configuration may "
                "have it."
            )
        try:
            found = Requirement(text)
            if found.marker and not found.marker.evaluate():
                continue
        except ValueError:
            raise UserError(
                f"{where}: expected a package with its version, such as xgboost==2.1.0."
            ) from None
        name, versions = canonicalize_name(found.name), list(found.specifier)
        if found.url:
            raise UserError(
                f"{where}: expected {name} with its version, found an address. Write "
                f"{name}=={_advised(name, ours)}, because {SECRETS}."
            )
        is_exact = [one.operator for one in versions] == ["=="]
        if not is_exact or versions[0].version.endswith(".*"):
            raise _not_pinned(where, name, ours)
        extras = f"[{','.join(sorted(found.extras))}]" if found.extras else ""
        version = versions[0].version
        yield Pin(name, version, f"{name}{extras}=={version}")


def _conda_file(path: Path, ours: dict[str, str]) -> tuple[list[str], list[Pin]]:
    """Return the channels and the pins of a conda file."""
    content = load(path)
    if not isinstance(content, dict) or not isinstance(content.get("dependencies"), list):
        raise UserError(f"{path} is no conda file: expected a list under the key dependencies.")
    if unknown := next((key for key in content if key not in CONDA_KEYS), None):
        raise UserError(f"{path}: {unknown} is not supported; {nearest(unknown, CONDA_KEYS)}")
    channels, pins = content.get("channels") or [], []
    if not isinstance(channels, list) or not all(re.fullmatch(CHANNEL, str(c)) for c in channels):
        raise UserError(f"{path}: expected a list of the channels' names, because {SECRETS}.")
    for number, entry in enumerate(content["dependencies"], start=1):
        where = f"{path}, entry {number} of dependencies"
        if isinstance(entry, dict) and isinstance(entry.get("pip"), list):
            lines = enumerate(map(str, entry["pip"]), start=1)
            pins += _requirements(
                ((f"{path}, entry {at} of pip", line) for at, line in lines), ours
            )
        elif entry != "pip":
            pins.append(_conda_pin(where, str(entry), ours))
    # Channels without packages change nothing.
    return [str(c) for c in channels if any(pin.is_conda for pin in pins)], pins


def _conda_pin(where: str, entry: str, ours: dict[str, str]) -> Pin:
    """Return the pin of one entry of a conda file.

    conda's ``=2.1`` would allow 2.1.3 as well, so it becomes ``==2.1``.
    """
    found = CONDA_ENTRY.fullmatch(entry)
    if not found or "/" in entry:
        raise UserError(f"{where}: expected a package with its version, such as xgboost=2.1.0.")
    channel, name, rest = found.groups()
    version = re.fullmatch(r"(==?)\s*([\w.!+]+)", rest)
    if not version:
        raise _not_pinned(where, name.lower(), ours)
    prefix = f"{channel}::" if channel else ""
    return Pin(name.lower(), version[2], f"{prefix}{name.lower()}=={version[2]}", is_conda=True)


def _not_pinned(where: str, name: str, ours: dict[str, str]) -> UserError:
    """Return the error for a package without an exact version."""
    return UserError(
        f"{where}: {name} has no exact version, which a training must have to be repeatable. Write "
        f"{name}=={_advised(name, ours)}."
    )


def _advised(name: str, ours: dict[str, str]) -> str:
    """Return the version to write: the workflow's or the installed one."""
    return ours.get(canonicalize_name(name)) or installed_version(name) or "VERSION"


# ---- Check -----------------------------------------------------------------------------------


def check_installed(packages: Packages, environments: Iterable[Path]) -> None:
    """Raise UserError unless the packages are installed in this Python, with these versions.

    Packages of conda that this Python does not know under their name are not checked, and neither
    are the workflow's own.
    """
    ours, wrong, python = workflow_versions(environments), [], shlex.quote(_shown(sys.executable))
    for pin in packages.pins:
        found = installed_version(pin.name)
        is_unknown = found is None and pin.is_conda
        if canonicalize_name(pin.name) in ours or is_unknown or (found and pin.allows(found)):
            continue
        wrong.append(f"{pin.text} ({f'found {found}' if found else 'not installed'})")
    if not wrong:
        return
    if packages.path.suffix in CONDA_SUFFIXES:
        advice = f"Run snakemake with --sdm conda, or install what is missing for {python}."
    else:
        file = shlex.quote(str(packages.path))
        advice = f"Install what is missing: {python} -m pip install -r {file}"
    raise UserError(f"{packages.path} needs {', '.join(wrong)}. {advice}")


def _shown(path: str) -> str:
    """Return a path, relative to the working directory if it is below it."""
    here = Path.cwd()
    return os.path.relpath(path, here) if Path(path).is_relative_to(here) else path


# ---- Merge -----------------------------------------------------------------------------------


def merged(environment: Path, packages: Packages) -> str:
    """Return the text of a conda environment file with the user's packages added.

    Packages that the file has already are left out. The user's channels come first.
    """
    has = workflow_versions([environment])
    # An extra of a package that the file has may need further packages.
    new = [
        pin for pin in packages.pins if "[" in pin.text or canonicalize_name(pin.name) not in has
    ]
    conda = "".join(f"  - {pin.text}\n" for pin in new if pin.is_conda)
    pip = "".join(f"      - {pin.text}\n" for pin in new if not pin.is_conda)
    text = environment.read_text(encoding="utf-8")
    channels, dependencies, rest = text.partition("dependencies:\n")
    if conda:
        for channel in packages.channels:
            channels = channels.replace(f"  - {channel}\n", "")
        first = "".join(f"  - {channel}\n" for channel in packages.channels)
        channels = channels.replace("channels:\n", f"channels:\n{first}")
    return channels + dependencies + rest.replace("  - pip:\n", f"{conda}  - pip:\n") + pip


def write_merged(environment: Path, packages: Packages, folder: Path) -> Path:
    """Write :func:`merged` into a folder, and return the file.

    Its name has a digest of the packages: a dry run with others must not change the file of a run.
    """
    path = folder / f"{environment.stem}-{packages.digest[:16]}.yaml"
    text = merged(environment, packages)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with replacing(path) as (part,):
            part.write_text(text, encoding="utf-8")
    return path
