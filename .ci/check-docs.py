#!/usr/bin/env python3
"""Fails on relative links in Markdown files that lead nowhere, on anchors that no heading has, on pages
of docs/ that README.md or docs/getting-started.md does not link to, on lines of prose that nobody
reads to their end, and on words that slow a hurried reader down."""
import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Pages from which every page of docs/ can be reached at once.
ENTRANCES = ["README.md", "docs/getting-started.md"]
# Columns of a line of prose; rows of tables are as long as they need to be.
LONGEST = 140
# The field's words in their place: handle, who, anyone, interrupted, is reported, corrected.
SLOW = re.compile(r"\b(heed\w*|whom|who(so)?ever|broken off|(is|are|was|were) told|mended?)\b", re.I)
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
    if "decisions" in name:
        continue
    block = False
    for number, line in enumerate((root / name).read_text(encoding="utf-8").splitlines(), 1):
        block ^= line.startswith("```")
        if len(line) > LONGEST and not block and not line.startswith("|"):
            wrong.append(f"{name}:{number}: {len(line)} columns, at most {LONGEST}")
        if not block and (word := SLOW.search(line)):
            wrong.append(f"{name}:{number}: `{word.group(0)}`: say it plainly")
for entrance in ENTRANCES:
    reached = {((root / entrance).parent / target.split("#")[0]).resolve() for target in links(root / entrance)}
    for page in sorted((root / "docs").glob("*.md")):
        if page.resolve() not in reached and page != root / entrance:
            wrong.append(f"{entrance}: no link to {page.relative_to(root)}")
print(f"{len(files)} documents, {len(wrong)} faults")
for line in wrong:
    print(f"  {line}")
sys.exit(bool(wrong))
