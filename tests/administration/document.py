"""What docs/administration.md tells an administrator to do, as steps; and whether what was printed is what it shows.

The words behind ``` say who takes a block:

    sh build          a shell on the machine that has this tree, at its top
    sh dom0 before    a shell in the Debian root that becomes dom0, before it is booted
    sh dom0           root's shell in dom0
    sh dom0 fails     the same, and it fails
    sh guest          root's shell in the guest
    file PATH         the content of a file of dom0
    output            what the block before prints; "..." stands for anything in a line, or for any lines
    sh elsewhere      nobody: it is another machine's, or another way to do the same
    text              nobody: it is to be looked at

A block with other words is a mistake, so that nothing is left out unseen.
"""
import re

PLACES = {"sh build": "build", "sh dom0 before": "before", "sh dom0": "dom0", "sh dom0 fails": "dom0",
          "sh guest": "guest", "sh elsewhere": None, "text": None}


class Mistake(Exception):
    """A sentence with the line of the document."""


def _name(line, place, heading):
    words = re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_")
    return f"line_{line:03}_{place}_{words}"


def steps(text):
    """A list of {"name", "place", "text", "output", "fails"} in the order of the document; of files, "path" besides.
    "output" is None where the document shows none."""
    found, heading, block = [], "", None
    behind = None  # the step to which output belongs
    for number, line in enumerate(text.splitlines(), 1):
        if block is None:
            if line.startswith("```"):
                block = (number, line[3:].strip(), [])
            elif line.startswith("#"):
                heading = line.lstrip("# ")
            continue
        start, words, lines = block
        if line != "```":
            lines.append(line)
            continue
        block = None
        content = "\n".join(lines) + "\n"
        if words == "output":
            if behind is None:
                raise Mistake(f"line {start}: output of what? no block that prints something is before it")
            behind["output"], behind = content, None
        elif words.startswith("file /"):
            behind = None
            found.append({"name": _name(start, "file", heading), "place": "file", "path": words[5:], "text": content,
                          "output": None, "fails": False})
        elif words in PLACES:
            place = PLACES[words]
            behind = {"name": _name(start, place, heading), "place": place, "text": content, "output": None,
                      "fails": words.endswith(" fails")}
            if place:
                found.append(behind)
        else:
            raise Mistake(f"line {start}: nobody takes ```{words}: write one of {', '.join(PLACES)}, file /PATH, output")
    if block is not None:
        raise Mistake(f"line {block[0]}: the block does not end")
    return found


def _pattern(shown):
    parts = []
    for line in shown.rstrip().splitlines():
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
            continue
        words = [r".*?".join(re.escape(piece) for piece in word.split("...")) for word in line.split()]
        parts.append(r"[ \t]+".join(words) + r"[ \t]*\n")
    return re.compile("".join(parts))


def agrees(shown, printed):
    """Blanks count as one, for the columns of tables; empty lines at the end not at all."""
    lines = [line.strip() for line in printed.rstrip().splitlines()]
    return _pattern(shown).fullmatch("".join(line + "\n" for line in lines)) is not None
