#!/usr/bin/env python3
"""Of the files named on standard input, prints those that compile_commands.json knows."""
import json
import os
import sys

known = {os.path.relpath(entry["file"]) for entry in json.load(open("compile_commands.json", encoding="utf-8"))}
for line in sys.stdin:
    if line.strip() in known:
        print(line.strip())
