"""Update the generated parts of the documents.

These are the tables of keys in config/README.md and docs/your-own-images.md, and the picture of the
workflow in README.md. Each is between the comments <!-- begin NAME --> and <!-- end NAME -->.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow/scripts"))

from image_workflow.configuration import load, table

TOP = Path(__file__).parents[1]


def with_part(text: str, name: str, content: str) -> str:
    """Return ``text`` with the content of the named part replaced."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, rest = text.split(begin)
    return f"{before}{begin}{content.strip()}\n{end}{rest.split(end, 1)[1]}"


def rule_graph() -> str:
    """Return a Mermaid code block of the workflow, with a node for each rule.

    An arrow that follows from other arrows is left out, and so is the rule all.
    """
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--quiet"]
    drawn = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout
    # Snakemake numbers the nodes in a different order each time.
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", drawn))
    edges = {(names[tail], names[head]) for tail, head in re.findall(r"(id\d+) --> (id\d+)", drawn)}
    shown = {(tail, head) for tail, head in direct(edges) if head != "all"}
    arrows = sorted(f"    {tail} --> {head}" for tail, head in shown)
    return "\n".join(["```mermaid", "flowchart LR", *arrows, "```"])


def direct(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the edges of an acyclic graph without those that a longer path replaces."""

    def reached(start: str) -> set[str]:
        following = {head for tail, head in edges if tail == start}
        return following.union(*map(reached, following))

    return {
        (tail, head)
        for tail, head in edges
        if not any(head in reached(other) for first, other in edges if first == tail)
    }


def updated() -> dict[Path, str]:
    """Return the updated text of each document, by its path."""
    config, own_images = (
        table(load(TOP / f"workflow/schemas/{name}.schema.yaml"))
        for name in ("config", "own_images")
    )
    parts = {
        TOP / "config/README.md": ("keys", config),
        TOP / "docs/your-own-images.md": ("keys", own_images),
        TOP / "README.md": ("rule graph", rule_graph()),
    }
    return {
        path: with_part(path.read_text(encoding="utf-8"), name, content)
        for path, (name, content) in parts.items()
    }


if __name__ == "__main__":
    argparse.ArgumentParser(prog="documents.py", description=__doc__).parse_args()
    for path, text in updated().items():
        path.write_text(text, encoding="utf-8")
