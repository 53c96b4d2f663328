"""The list of lines that no test reaches, each with the reason: unreached.toml."""

import re
import tomllib
from pathlib import Path

LIST = Path(__file__).with_name("unreached.toml")
TOP = LIST.parents[2]
# What has to be reached, or listed.
CHECKED = re.compile(r"qemu_mainloop/(_core|_fdmon)/.*\.p(yx|xd)|qemu_mainloop/_sys/.*\.h")


def bodies_of(text, function):
    """[(index of the first line, lines)] of each definition of the function, None: the file."""
    lines = text.splitlines()
    if function is None:
        return [(0, lines)]
    found = []
    for begin, line in enumerate(lines):
        if re.match(rf"\w.*\b{function}\(", line) and goes_on(lines, begin):
            end = begin + 1
            while goes_on(lines, end - 1):
                end += 1
            found.append((begin, lines[begin:end]))
    return found


def goes_on(lines, i):
    """Whether the line after this one is still of the same function."""
    return i + 1 < len(lines) and lines[i + 1][:1] in ("", " ", "{", "#")


def stripped(text):
    return [line.strip() for line in text.strip().splitlines()]


def numbers_of(entry, top=TOP):
    """{line number: text} of what an entry quotes."""
    text = (top / entry["file"]).read_text()
    before = stripped(entry.get("after", ""))
    wanted = before + stripped(entry["code"])
    found = []
    for begin, body in bodies_of(text, entry.get("function")):
        body = [line.strip() for line in body]
        found += [begin + i for i in range(len(body) - len(wanted) + 1)
                  if body[i:i + len(wanted)] == wanted]
    if len(found) != 1:
        raise ValueError(f"the code is there {len(found)} times")
    return {found[0] + 1 + i: line for i, line in enumerate(wanted)
            if line and i >= len(before)}


def entries():
    return tomllib.loads(LIST.read_text())["unreached"]


def complaints(counts, top=TOP):
    """What is wrong with the list, given {file: {line number: count}}."""
    found = []
    listed = {}
    for entry in entries():
        where = f"{entry['file']}, {entry.get('function', 'the module')}"
        try:
            quoted = numbers_of(entry, top)
        except (OSError, ValueError) as error:
            found.append(f"{where}: listed, but {error}:\n    {entry['code'].strip()}")
            continue
        for number, text in quoted.items():
            count = counts.get(entry["file"], {}).get(number)
            listed[entry["file"], number] = entry
            if count and not entry.get("sometimes"):
                found.append(f"{where}: listed, but reached {count} times:\n    {number}: {text}")
    for name, lines in counts.items():
        if not CHECKED.fullmatch(name):
            continue
        text = (top / name).read_text().splitlines()
        found += [f"{name}: no test reaches this, and it is not listed:\n    "
                  f"{number}: {text[number - 1].strip()}"
                  for number, count in lines.items()
                  if count == 0 and (name, number) not in listed]
    return found
