"""The documents say what is: the table of keys, the workflow's picture, the command lines."""

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

import document
from checkout import ENVIRONMENT, TOP, Checkout
from lib.configuration import checked, load, table

README = (TOP / "README.md").read_text(encoding="utf-8")
SCHEMA = load(TOP / "workflow/schemas/config.schema.yaml")


def part(text: str, name: str) -> str:
    """Return what stands between the comments that begin and end a named part."""
    return text.split(f"<!-- begin {name} -->\n")[1].split(f"\n<!-- end {name} -->")[0]


def commands(text: str) -> list[str]:
    """Return the command lines in a Markdown text's code blocks and code spans."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    shell = [block for language, block in blocks if language in ("", "sh", "bash", "console")]
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    lines = [line for block in shell for line in block.splitlines()] + spans
    return [line.split("#")[0].removeprefix("$ ").strip() for line in lines]


def snakemake_arguments(text: str) -> list[str]:
    """Return the arguments of each call of snakemake in a Markdown text."""
    found = (re.fullmatch(r"(?:\.venv/bin/)?snakemake (.+)", line) for line in commands(text))
    return sorted({match[1] for match in found if match})


# ---- What is generated ---------------------------------------------------------------------


def test_the_table_of_keys_is_that_of_the_schema():
    text = (TOP / "config/README.md").read_text(encoding="utf-8")
    assert part(text, "keys") == table(SCHEMA)


def test_the_picture_is_that_of_the_workflow(checkout: Checkout):
    drawn = checkout.finish("--rulegraph", "mermaid-js").stdout
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", drawn))
    edges = {(names[tail], names[head]) for tail, head in re.findall(r"(id\d+) --> (id\d+)", drawn)}
    picture = part(README, "rule graph")
    assert picture.startswith("```mermaid\nflowchart ")
    assert set(re.findall(r"(\w+) --> (\w+)", picture)) == edges
    model = {"train", "draw_sweep", "evaluate", "register"}
    assert {"download", "parse", "preview"} | model < set(names.values())


def test_renewing_the_documents_changes_nothing(tmp_path: Path):
    checkout = Checkout.fresh(tmp_path)
    (checkout.path / "README.md").write_text(README, encoding="utf-8")
    before = {path: path.read_bytes() for path in checkout.path.rglob("*.md")}
    command = [sys.executable, "workflow/scripts/document.py"]
    subprocess.run(command, cwd=checkout.path, env=ENVIRONMENT, check=True)
    assert {path: path.read_bytes() for path in checkout.path.rglob("*.md")} == before


def test_a_part_is_replaced_and_the_rest_is_kept():
    text = "one\n<!-- begin keys -->\nold\n<!-- end keys -->\ntwo\n"
    renewed = "one\n<!-- begin keys -->\nnew\n<!-- end keys -->\ntwo\n"
    assert document.with_part(text, "keys", "new") == renewed
    assert document.with_part(renewed, "keys", "\nnew\n") == renewed


# ---- config.yaml ---------------------------------------------------------------------------


def test_the_settings_have_every_key_with_its_default():
    settings = load(TOP / "config/config.yaml")
    assert settings == checked({}, SCHEMA, "config")
    assert list(settings) == list(SCHEMA["properties"])


def test_every_key_of_the_settings_has_a_comment():
    lines = (TOP / "config/config.yaml").read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        if re.match(r"\w+:", line):
            assert before.startswith("# "), f"{line} has no comment above it"


def test_every_key_has_a_description_and_a_default():
    for key, spec in SCHEMA["properties"].items():
        assert {"description", "default"} <= spec.keys(), key


# ---- Commands that are documented ----------------------------------------------------------


def test_the_readme_has_the_two_commands():
    assert {"make run", "make test"} <= set(commands(README))


@pytest.mark.parametrize("document", ["README.md", "config/README.md"])
def test_documented_snakemake_commands_are_found(document: str):
    assert snakemake_arguments((TOP / document).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "arguments",
    snakemake_arguments(README + (TOP / "config/README.md").read_text(encoding="utf-8")),
)
def test_a_documented_command_can_be_run(checkout: Checkout, arguments: str):
    if "--sdm conda" in arguments:
        pytest.skip("needs conda, even for a dry run")
    checkout.finish("-n", *shlex.split(arguments))


def test_documented_make_targets_are_there():
    targets = re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.M)
    called = {line.split()[1] for line in commands(README) if line.startswith("make ")}
    assert called <= set(targets)


def test_documented_files_are_there():
    named = {
        line for line in commands(README) if re.match(r"(workflow|config|requirements)/", line)
    }
    linked = set(re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", README))
    assert named
    assert linked
    missing = [path for path in named | linked if not list(TOP.glob(path.rstrip("/")))]
    assert missing == []


def test_the_example_of_ones_own_data_is_right():
    text = (TOP / "config/README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)
    entry = yaml.safe_load(example.replace("<sha256>", "0123456789abcdef" * 4))
    checked(entry, load(TOP / "workflow/schemas/datasets.schema.yaml"), "config/datasets.yaml")
