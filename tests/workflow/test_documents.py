"""The documents describe the workflow as it is, and their commands work."""

import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import documents
from checkout import TOP, Checkout
from image_workflow.configuration import checked, load, table
from image_workflow.data.entries import load_entries
from image_workflow.data.sources import SOURCES
from image_workflow.lineage.code import code_digest

PATHS = ["README.md", "CONTRIBUTING.md", "config/README.md"]
PATHS += sorted(str(path.relative_to(TOP)) for path in (TOP / "docs").glob("*.md"))
TEXTS = {path: (TOP / path).read_text(encoding="utf-8") for path in PATHS}
README = TEXTS["README.md"]
OWN_IMAGES = TEXTS["docs/your-own-images.md"]
OWN_MODEL = TEXTS["docs/your-own-model.md"]
SCHEMA = load(TOP / "workflow/schemas/config.schema.yaml")
BIN = Path(sys.executable).parent


def part(text: str, name: str) -> str:
    """Return the text between the comments that begin and end a named part."""
    return text.split(f"<!-- begin {name} -->\n")[1].split(f"\n<!-- end {name} -->")[0]


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language in a Markdown text."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [block for name, block in found if name == language]


def spans(text: str) -> list[str]:
    """Return the code spans in a Markdown text."""
    return re.findall(r"(?<!`)`([^`]+)`(?!`)", text)


def commands(text: str) -> list[str]:
    """Return the commands in a Markdown text, from shell code blocks and code spans."""
    shell = "".join(blocks(text, "sh"))
    # A quoted argument may have several lines.
    lines = re.findall(r'(?:[^\n"#]|"[^"]*")+', shell)
    starts = "snakemake ", "make ", "python "
    called = [" ".join(span.split()) for span in spans(text) if span.startswith(starts)]
    return [line.strip() for line in [*lines, *called] if line.strip() and line[0] != " "]


COMMANDS = sorted({command for text in TEXTS.values() for command in commands(text)})
SNAKEMAKE = r"(?:\.venv(?:-azureml(?:-v1)?)?/bin/)?snakemake (.+)"
#: Commands that need more than a checkout, and the tests below that run them.
OTHERS = {
    "AZUREML_TEST_CONFIG=/path/to/config.json .venv-dev/bin/python -m pytest -s -k real_workspace",
    # tests/serving/test_documented_calls.py
    *commands("```sh" + TEXTS["docs/serve.md"].partition("```sh")[2]),
    # tests/container/test_image.py
    *commands(TEXTS["docs/container.md"]),
    # tests/slurm/test_slurm_results.py
    *(each for each in commands(TEXTS["docs/slurm.md"]) if each.startswith(".venv-slurm/bin/")),
}


def matching(pattern: str) -> list[str]:
    """Return the first group of each documented command that matches a pattern."""
    found = (re.fullmatch(pattern, command, re.S) for command in COMMANDS)
    return sorted({match[1] for match in found if match})


# ---- Generated parts -----------------------------------------------------------------------


def test_the_table_of_keys_follows_the_schema():
    assert part(TEXTS["config/README.md"], "keys") == table(SCHEMA)


def closure(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return all pairs of nodes that a path connects."""
    paths = set(edges)
    while longer := {(a, d) for a, b in paths for c, d in edges if b == c} - paths:
        paths |= longer
    return paths


def test_the_picture_shows_the_workflow(checkout: Checkout):
    drawn = checkout.finish("--rulegraph", "mermaid-js").stdout
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", drawn))
    edges = {(names[tail], names[head]) for tail, head in re.findall(r"(id\d+) --> (id\d+)", drawn)}
    picture = part(README, "rule graph")
    assert picture.startswith("```mermaid\nflowchart ")
    shown = {(tail, head) for tail, head in closure(edges) if head != "all"}
    assert closure(set(re.findall(r"(\w+) --> (\w+)", picture))) == shown
    model = {"train", "draw_sweep", "evaluate", "register"}
    assert {"download", "parse", "describe", "preview"} | model < set(names.values())


def test_updating_the_documents_changes_nothing():
    assert documents.updated() == {
        TOP / path: TEXTS[path]
        for path in ("config/README.md", "docs/your-own-images.md", "README.md")
    }


def test_a_part_is_replaced_and_the_rest_is_kept():
    text = "one\n<!-- begin keys -->\nold\n<!-- end keys -->\ntwo\n"
    renewed = "one\n<!-- begin keys -->\nnew\n<!-- end keys -->\ntwo\n"
    assert documents.with_part(text, "keys", "new") == renewed
    assert documents.with_part(renewed, "keys", "\nnew\n") == renewed


def test_only_direct_arrows_are_drawn():
    edges = {("a", "b"), ("b", "c"), ("c", "d"), ("a", "c"), ("a", "d"), ("x", "d")}
    assert documents.direct(edges) == {("a", "b"), ("b", "c"), ("c", "d"), ("x", "d")}


def test_every_list_of_sources_is_the_same():
    schema = load(TOP / "workflow/schemas/idx_files.schema.yaml")
    allowed = schema["properties"]["sources"]["items"]["properties"]
    table_rows = re.findall(r"^\| `(\w+): ", TEXTS["config/README.md"], re.M)
    comment = (TOP / "config/datasets.yaml").read_text(encoding="utf-8")
    comment_lines = re.findall(r"^#   - (\w+): ", comment, re.M)
    assert set(allowed) == set(SOURCES) == set(table_rows) == set(comment_lines)


def test_no_document_has_a_placeholder():
    assert [path for path, text in TEXTS.items() if re.search(r"[A-Z]+_FIGURE|TODO", text)] == []


# ---- config.yaml ---------------------------------------------------------------------------


def test_config_yaml_has_every_key_with_its_default():
    settings = load(TOP / "config/config.yaml")
    assert settings == checked({}, SCHEMA, "config")
    assert list(settings) == list(SCHEMA["properties"])


def test_every_key_in_config_yaml_has_a_comment():
    lines = (TOP / "config/config.yaml").read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        if re.match(r"\w+:", line):
            assert before.startswith("# "), f"{line} has no comment above it"


def test_every_key_has_a_description_and_a_default():
    for key, spec in SCHEMA["properties"].items():
        assert {"description", "default"} <= spec.keys(), key


# ---- Commands ------------------------------------------------------------------------------


def test_the_readme_is_short_and_has_the_two_commands():
    assert len(README.splitlines()) <= 120
    assert {"make run", "make test"} <= set(commands(README))


def test_every_documented_command_is_run_by_a_test():
    kinds = (
        SNAKEMAKE,
        r"make [a-z0-9-]+(?: SDK=v1)?",
        r"make reproduce RECEIPT=.*",
        r"(?:OPENBLAS_CORETYPE=\w+ )?python (benchmarks|workflow)/.*",
    )
    kinds += r"make serve [A-Z]+=.*", r"make predict FILES=.*"
    kinds += r"\.venv-serve/bin/python -m pip install .*", r"\.venv-dev/bin/python tests/support/.*"
    kinds += "cd results/raw && gzip .*", r"\.venv(?:-azureml-v1)?/bin/python -(c|m pip install) .*"
    unknown = [
        command
        for command in COMMANDS
        if command not in OTHERS and not any(re.fullmatch(kind, command, re.S) for kind in kinds)
    ]
    assert unknown == []


@pytest.mark.parametrize("arguments", matching(SNAKEMAKE))
def test_a_documented_snakemake_command_can_be_planned(checkout: Checkout, arguments: str):
    if "--sdm" in arguments:
        pytest.skip("needs conda or Apptainer, even for a dry run")
    if "dataset=fruit" in arguments or "photos" in arguments:
        pytest.skip("needs photographs; another test runs it")
    if "_model.py" in arguments:
        pytest.skip("needs the user's file; another test runs it")
    checkout.finish("-n", *shlex.split(arguments))


@pytest.mark.parametrize("target", matching(r"make ([a-z0-9-]+(?: SDK=v1)?)"))
def test_a_documented_make_target_exists(target: str):
    command = ["make", "--dry-run", *target.split(), f"PYTHON={sys.executable}"]
    ended = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    needs_311 = sys.version_info[:2] != (3, 11) and "needs CPython 3.11" in ended.stderr
    assert ended.returncode == 0 or needs_311, ended.stderr


@pytest.mark.parametrize("call", matching(r"(?:OPENBLAS_CORETYPE=\w+ )?python ((?:b|w).*)"))
def test_a_documented_program_takes_its_options(call: str):
    command = [sys.executable, *shlex.split(call), "--help"]
    subprocess.run(command, cwd=TOP, check=True, capture_output=True)


def test_the_documented_model_can_be_used(digits_run: Checkout):
    (snippet,) = blocks(TEXTS["docs/predict.md"], "python")
    images = "import numpy; images = numpy.load('results/arrays/test-images.npy')\n"
    code = f"{images}{snippet}\nprint(len(model.predict(images.reshape(len(images), -1) / 255)))"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=digits_run.path, check=True, capture_output=True
    ).stdout
    assert said == b"360\n"


def test_the_documented_checksums_are_those_of_the_receipt(digits_run: Checkout):
    (command,) = matching("(cd results/raw && gzip .*)")
    said = subprocess.run(
        command, shell=True, cwd=digits_run.path, check=True, capture_output=True, text=True
    ).stdout
    assert said.split()[0] == digits_run.receipt()["sha256"]["data"]
    (code,) = matching(r'\.venv/bin/python -c "(.*)"')
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=digits_run.path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    fit = digits_run.path / "workflow/scripts/fit.py"
    assert said.strip() == digits_run.receipt()["sha256"]["code"] == code_digest(fit)


# ---- Files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("document", PATHS)
def test_documented_files_exist(document: str):
    text = TEXTS[document]
    folders = r"(workflow|config|requirements|tools|tests|benchmarks|docs|image_workflow)/\S+"
    named = {span for span in spans(text) if re.fullmatch(folders, span) and "NAME" not in span}
    named -= {"config/my_datasets.yaml"}  # users create it
    named = {
        name.replace("image_workflow/", "workflow/scripts/image_workflow/", 1)
        if name.startswith("image_workflow/")
        else name
        for name in named
    }
    linked = set(re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text))
    here = (TOP / document).parent
    missing = [name for name in named if not list(TOP.glob(name.rstrip("/")))]
    missing += [name for name in linked if not (here / name).exists()]
    assert [name for name in missing if not name.startswith("benchmarks/*")] == []


@pytest.mark.parametrize("section", ["regularization rate", "size of a cluster's machines"])
def test_a_setting_passes_through_at_most_eight_files(section: str):
    text = TEXTS["docs/how-it-works.md"].split(f"**{section}**")[1].split("\n\n")[1]
    files = re.findall(r"^\d+\. `([^`]+)`", text, re.M)
    assert 1 < len(files) <= 8


def test_the_examples_of_data_sets_are_valid(tmp_path: Path):
    entries = [*blocks(TEXTS["config/README.md"], "yaml"), *blocks(OWN_IMAGES, "yaml")]
    assert len(entries) > 4
    path = tmp_path / "my_datasets.yaml"
    path.write_text("\n".join(entries).replace("<sha256>", "0123456789abcdef" * 4))
    load_entries([path], TOP / "workflow/schemas")


# ---- Your own images -----------------------------------------------------------------------


@pytest.fixture
def with_photos(checkout: Checkout) -> Checkout:
    """A checkout with the folders of pictures that docs/your-own-images.md names."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 20, 30), np.uint8)
    for folder in ("photos", "home/Pictures/fruit"):
        for name, pictures in zip(("apples", "pears", "quinces"), pixels, strict=True):
            (checkout.path / folder / name).mkdir(parents=True)
            for number, picture in enumerate(pictures):
                Image.fromarray(picture).save(checkout.path / folder / name / f"{number}.PNG")
    checkout.environment = {"HOME": str(checkout.path / "home")}
    return checkout


def test_the_way_from_photographs_to_a_model_works_as_written(with_photos: Checkout):
    first_entry = blocks(OWN_IMAGES, "yaml")[0]
    (with_photos.path / "config/my_datasets.yaml").write_text(first_entry)
    calls = [command for command in commands(OWN_IMAGES) if command.startswith(".venv/bin/snake")]
    assert len(calls) == 3
    for call in calls:
        with_photos.finish(*shlex.split(call)[1:])
        names = [found["name"] for found in with_photos.receipt()["classes"]]
        assert sorted(names) == ["apples", "pears", "quinces"]
    assert (with_photos.path / "results/report.html").exists()
    assert names == ["quinces", "apples", "pears"]


# ---- Your own model ------------------------------------------------------------------------


def test_the_examples_of_own_models_work_as_written_on_the_digits(checkout: Checkout):
    for name, code in zip(("my_model", "deskew_model"), blocks(OWN_MODEL, "python"), strict=True):
        (checkout.path / f"{name}.py").write_text(code)
    calls = [command for command in commands(OWN_MODEL) if command.startswith(".venv/bin/snake")]
    accuracies = []
    for call in calls:
        # All but the last stop before the pictures, which take most of the time.
        target = "results/registered.json" if call == calls[-1] else "results/metrics.json"
        arguments = shlex.split(call.replace("results/registered.json", target))[1:]
        checkout.finish(*arguments, "dataset=digits")
        metrics = json.loads((checkout.path / "results/metrics.json").read_text())
        accuracies.append(metrics["accuracy"])
    assert len(accuracies) == 4
    assert min(accuracies) > 0.85
    assert checkout.receipt()["parameters"]["estimator"] == "deskew_model.py:build"


def test_the_examples_of_own_models_are_valid_configurations():
    examples = blocks(OWN_MODEL, "yaml")
    assert len(examples) == 2
    for example in examples:
        checked(yaml.safe_load(example), SCHEMA, "example")
