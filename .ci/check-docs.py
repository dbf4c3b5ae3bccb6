#!/usr/bin/env python3
"""Fails on relative links in Markdown files that lead nowhere, on pages of docs/ that README.md or
docs/getting-started.md does not link to, and on anchors that no heading has."""
import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Pages from which every page of docs/ can be reached at once.
ENTRANCES = ["README.md", "docs/getting-started.md"]
root = pathlib.Path(__file__).resolve().parent.parent


def prose(path: pathlib.Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)


def links(path: pathlib.Path) -> list[str]:
    """The relative links of a page, and those to its own headings."""
    return [target for target in LINK.findall(prose(path)) if not re.match(r"[a-z]+:", target)]


def anchors(path: pathlib.Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(path), flags=re.M)
    words = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one).lower() for one in headings]
    return {re.sub(r"[^\w\- ]", "", one).replace(" ", "-") for one in words}


files = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=root, check=True, capture_output=True, text=True,
).stdout.split()
files = [name for name in files if (root / name).exists()]
wrong = []
for name in files:
    for target in links(root / name):
        place, _, anchor = target.partition("#")
        page = (root / name).parent / place if place else root / name
        if not page.exists():
            wrong.append(f"{name}: {target} leads nowhere")
        elif anchor and page.suffix == ".md" and anchor not in anchors(page):
            wrong.append(f"{name}: {target}: no heading has this anchor")
for entrance in ENTRANCES:
    reached = {((root / entrance).parent / target.split("#")[0]).resolve() for target in links(root / entrance)}
    for page in sorted((root / "docs").glob("*.md")):
        if page.resolve() not in reached and page != root / entrance:
            wrong.append(f"{entrance}: no link to {page.relative_to(root)}")
print(f"{len(files)} documents, {len(wrong)} faults")
for line in wrong:
    print(f"  {line}")
sys.exit(bool(wrong))
