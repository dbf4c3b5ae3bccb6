#!/usr/bin/env python3
"""Fails on relative links in Markdown files that lead nowhere."""
import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
root = pathlib.Path(__file__).resolve().parent.parent
files = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=root, check=True, capture_output=True, text=True,
).stdout.split()
dead = []
for name in files:
    path = root / name
    if not path.exists():
        continue
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        if not (path.parent / target.split("#")[0]).exists():
            dead.append(f"{name}: {target}")
print(f"{len(files)} documents, {len(dead)} dead links")
for line in dead:
    print(f"  {line}")
sys.exit(bool(dead))
