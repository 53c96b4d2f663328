"""How often each line of the sources ran, from what clang's instrumentation wrote.

The modules are C that Cython generated, compiled with counters for every region of the C.
Cython writes a comment with the file and the number in front of what it makes of a line:

      /* "qemu_mainloop/_core/bh.pxd":118
       ...
    */
      goto __pyx_L0;

The first code after such a comment runs as often as the line; what follows it (code for leaving
the function, for instance) may run when the line does not.  A line may have several comments,
in each module that an inline function is compiled into; their counts are added up.  Headers
need no translation.
"""

import json
import re
import subprocess
from bisect import bisect_right
from collections import defaultdict

COMMENT = re.compile(r'\s*/\* "(?P<file>[^"]+\.p(?:yx|xd))":(?P<number>\d+)$')
# What may stand in front of a line's own code: braces, labels, notes of Cython's.
NO_CODE = re.compile(r"(?:[{}\s]|else\b|/\*[^*]*\*/|__pyx_L\w+:;)*$")

# The end of the block before is no part of "} else if (…) {".
LEAVING = re.compile(r"\s*(?:\}\s*(?:else\b\s*)?)?")
UNUSED = object()


class Regions:
    """The counters of one file: position (line, column) to count."""

    def __init__(self, segments):
        self.starts = [(line, column) for line, column, *_ in segments]
        self.counts = [count if has_count else None for _, _, count, has_count, *_ in segments]

    def at(self, line, column):
        """How often what stands there ran; None for what is no code."""
        found = bisect_right(self.starts, (line, column)) - 1
        return self.counts[found] if found >= 0 else None

    def of_line(self, number, text):
        if NO_CODE.match(text):
            return None
        return self.at(number, LEAVING.match(text).end() + 1)


def of_generated(text, regions):
    """[((file, line number), count)], one for each comment that has code."""
    found = []
    line = None                            # whose code comes next
    in_comment = False
    for number, content in enumerate(text.splitlines(), 1):
        head = COMMENT.match(content)
        if head:
            line = head["file"], int(head["number"])
            in_comment = True
        elif in_comment:
            in_comment = not content.strip().endswith("*/")
        elif line is not None:
            count = regions.of_line(number, content)
            if count is not None:
                found.append((line, count))
                line = None
    return found


def of_header(text, span, regions):
    """[(line number, count or None)] of the function that stands there."""
    code = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)
    first, last = span
    return [(number, regions.of_line(number, content))
            for number, content in enumerate(code.splitlines(), 1)
            if first < number <= last and not content.lstrip().startswith("#")]


def of_module(llvm_cov, module, profile, top):
    """[((file, line number), count)] of a compiled module and of the headers in it.

    A function of a header that the module does not use is mapped as one region, whatever the
    preprocessor leaves of it: its lines have the count UNUSED.
    """
    exported = subprocess.run(
        [llvm_cov, "export", str(module), f"-instr-profile={profile}", "-skip-expansions"],
        check=True, capture_output=True, text=True)
    data = json.loads(exported.stdout)["data"][0]
    functions = defaultdict(list)
    for function in data["functions"]:
        functions[function["filenames"][0]].append(function)
    found = []
    for record in data["files"]:
        path = (module.parent / record["filename"]).resolve()
        regions = Regions(record["segments"])
        if path.name.endswith(".pyx.c"):
            found += of_generated(path.read_text(), regions)
        elif path.is_relative_to(top / "qemu_mainloop"):
            name, text = str(path.relative_to(top)), path.read_text()
            for function in functions[record["filename"]]:
                span = function["regions"][0][0], function["regions"][0][2]
                is_used = function["count"] > 0 or len(function["regions"]) > 1
                found += [((name, number), count if is_used else UNUSED)
                          for number, count in of_header(text, span, regions)
                          if is_used or count is not None]
    return found


def of_package(llvm_cov, objects, profile, top):
    """{file: {line number: count}} of all modules that were compiled to objects."""
    counts = defaultdict(lambda: defaultdict(list))
    for module in sorted(objects.rglob("*.so")):
        for (name, number), count in of_module(llvm_cov, module, profile, top):
            counts[name][number].append(count)
    return {name: {number: total for number, of_modules in sorted(lines.items())
                   if (total := total_of(of_modules)) is not None}
            for name, lines in sorted(counts.items())}


def total_of(counts):
    used = [count for count in counts if count is not UNUSED]
    code = [count for count in used if count is not None]
    return sum(code) if code else None if used else 0
