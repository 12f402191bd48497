"""The data sets that a user can choose."""

from pathlib import Path

import pytest

from checkout import TOP
from image_workflow.configuration import ConfigurationError
from image_workflow.data.entries import chosen_entry, load_entries

SCHEMAS = TOP / "workflow/schemas"
SHIPPED = TOP / "config/datasets.yaml"


def entries(tmp_path: Path, text: str) -> dict:
    """Return the shipped data sets and those of a text."""
    own = tmp_path / "my_datasets.yaml"
    own.write_text(text)
    return load_entries([SHIPPED, own], SCHEMAS)


def test_the_users_own_file_may_be_missing_or_empty(tmp_path: Path):
    assert list(load_entries([SHIPPED, tmp_path / "none.yaml"], SCHEMAS)) == ["mnist", "digits"]
    assert list(entries(tmp_path, "# nothing yet\n")) == ["mnist", "digits"]


def test_an_entry_needs_nothing_but_a_path(tmp_path: Path):
    found = entries(tmp_path, "leaves:\n  images: ~/leaves\n")["leaves"]
    assert found["images"] == "~/leaves"
    assert (found["fit"], found["test_share"], found["split_seed"]) == ("pad", 0.2, 42)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("leaves", "../project/leaves"),
        ("/data/leaves", "/data/leaves"),
        ("~/leaves", "~/leaves"),
        ("$HOME/leaves", "$HOME/leaves"),
    ],
)
def test_a_relative_path_begins_in_the_folder_that_has_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, expected: str
):
    for folder in ("project/config", "run"):
        (tmp_path / folder).mkdir(parents=True)
    own = f"leaves: {{images: {place}, labels: labels.csv}}\n"
    (tmp_path / "project/config/my_datasets.yaml").write_text(own)
    monkeypatch.chdir(tmp_path / "run")
    found = load_entries([SHIPPED, Path("../project/config/my_datasets.yaml")], SCHEMAS)["leaves"]
    assert (found["images"], found["labels"]) == (expected, "../project/labels.csv")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a", "expected names with entries, found \\['a'\\]"),
        ("a b: {images: x}", "'a b' is not allowed as a name"),
        ("mnist: {images: x}", "mnist is in config/datasets.yaml already; rename it"),
        ("leaves: {path: x}", "leaves needs `images`, the path of your images, or `files`"),
        ("leaves:", "leaves needs `images`"),
        ("leaves: 5", "leaves needs `images`"),
        ("2024: {images: x}", "2024 is not allowed as a name; .* put numbers in quotes"),
        ("leaves: {images: x, sise: 3}", "leaves: sise is not a key; did you mean size"),
        ("leaves: {images: x, size: 0}", "leaves: size cannot be 0; it must be a whole number"),
        ("leaves: {images: x, size: [3]}", r"leaves: size cannot be \[3\]; it must be a whole"),
        ("leaves: {images: x, fit: zoom}", "leaves: fit cannot be 'zoom'; .*pad, crop, stretch"),
        ("leaves: {images: x, classes: [a, a]}", "leaves: classes cannot be"),
        ("leaves: {images: x, test_share: 1}", "leaves: test_share cannot be 1"),
        (
            "leaves: {images: x, transposed: 1}",
            "leaves: transposed cannot be 1; it must be true or false",
        ),
        ("leaves: {files: {}}", "leaves: it has no sources; it needs files, sources"),
    ],
)
def test_a_wrong_entry_is_named_in_one_sentence(tmp_path: Path, text: str, sentence: str):
    with pytest.raises(ConfigurationError, match=rf"my_datasets\.yaml: {sentence}"):
        entries(tmp_path, text)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Meine Bilder", "Meine-Bilder"),
        ("Grüne Bäume", "Grune-Baume"),
        ("train.csv.gz", "train"),
        ("日本", "images"),
    ],
)
def test_a_path_is_a_data_set(tmp_path: Path, path: str, name: str):
    (tmp_path / path).mkdir()
    found, entry = chosen_entry(str(tmp_path / path), {}, SCHEMAS)
    assert (entry["images"], entry["fit"]) == (str(tmp_path / path), "pad")
    assert found == (name if "." not in path else "train-csv-gz")


def test_a_folder_with_the_name_of_an_entry_gets_another_name(tmp_path: Path):
    (tmp_path / "digits").mkdir()
    known = load_entries([SHIPPED], SCHEMAS)
    assert chosen_entry(str(tmp_path / "digits"), known, SCHEMAS)[0] == "digits-images"


@pytest.mark.parametrize("path", ["~nobody-at-all/x", "x" * 300])
def test_a_path_that_cannot_exist_is_refused(path: str):
    with pytest.raises(ConfigurationError, match="neither a data set nor an existing path"):
        chosen_entry(path, {}, SCHEMAS)


def test_a_path_may_have_variables_and_begin_at_home(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PHOTOS", str(tmp_path))
    (tmp_path / "leaves").mkdir()
    assert chosen_entry("~/leaves", {}, SCHEMAS)[0] == "leaves"
    assert chosen_entry("$PHOTOS/leaves", {}, SCHEMAS)[0] == "leaves"


def test_a_misspelt_name_is_answered_with_the_nearest(tmp_path: Path):
    known = entries(tmp_path, "leaves:\n  images: x\n")
    with pytest.raises(ConfigurationError, match=r"dataset cannot be 'leafs'.* mean leaves"):
        chosen_entry("leafs", known, SCHEMAS)
