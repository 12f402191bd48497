"""Renew the parts of the documents that come from the workflow itself.

They stand between <!-- begin NAME --> and <!-- end NAME -->: the table of configuration keys in
config/README.md, and the picture of the workflow in README.md.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from lib.configuration import load, table

TOP = Path(__file__).parents[2]


def with_part(text: str, name: str, content: str) -> str:
    """Return ``text`` with ``content`` between the comments that begin and end the named part."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, rest = text.split(begin)
    return f"{before}{begin}{content.strip()}\n{end}{rest.split(end, 1)[1]}"


def rule_graph() -> str:
    """Return the workflow's picture as a Mermaid code block, its nodes named after the rules."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--quiet"]
    drawn = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout
    # Snakemake numbers the nodes, each time in another order.
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", drawn))
    edges = re.findall(r"(id\d+) --> (id\d+)", drawn)
    lines = sorted(f"    {names[tail]} --> {names[head]}" for tail, head in edges)
    return "\n".join(["```mermaid", "flowchart LR", *lines, "```"])


def documents() -> dict[Path, str]:
    """Return what each document should say, by its path."""
    keys = table(load(TOP / "workflow/schemas/config.schema.yaml"))
    parts = {
        TOP / "config/README.md": ("keys", keys),
        TOP / "README.md": ("rule graph", rule_graph()),
    }
    return {
        path: with_part(path.read_text(encoding="utf-8"), name, content)
        for path, (name, content) in parts.items()
    }


if __name__ == "__main__":
    argparse.ArgumentParser(prog="document.py", description=__doc__).parse_args()
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
