#!/usr/bin/env python3
"""report OBJECTS COUNTERS REPORT: the report on what the tests reached, and the check of the list.

OBJECTS has the instrumented modules and the C that they were made of, COUNTERS what the runs
of the tests left, REPORT gets ``compiled.xml`` in Cobertura's format.  Exit status 1: a line
was not reached that unreached.toml does not name, or the list is not true any more.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import counts
import unreached

TOP = Path(__file__).resolve().parents[2]
LLVM_COV = os.environ.get("LLVM_COV", "llvm-cov-19")
LLVM_PROFDATA = os.environ.get("LLVM_PROFDATA", "llvm-profdata-19")


def write_cobertura(reached, path):
    root = ElementTree.Element("coverage", version="qemu_mainloop", timestamp="0")
    ElementTree.SubElement(ElementTree.SubElement(root, "sources"), "source").text = str(TOP)
    package = ElementTree.SubElement(ElementTree.SubElement(root, "packages"), "package",
                                     name="qemu_mainloop")
    classes = ElementTree.SubElement(package, "classes")
    for name, lines in reached.items():
        file = ElementTree.SubElement(classes, "class", name=Path(name).name, filename=name)
        ElementTree.SubElement(file, "methods")
        rows = ElementTree.SubElement(file, "lines")
        for number, count in lines.items():
            ElementTree.SubElement(rows, "line", number=str(number), hits=str(count),
                                   branch="false")
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def main():
    objects, counters, report = map(Path, sys.argv[1:])
    profile = report / "compiled.profdata"
    written = sorted(counters.glob("*.profraw"))
    if not written:
        raise SystemExit(f"nothing wrote counters to {counters}")
    subprocess.run([LLVM_PROFDATA, "merge", "-o", profile, *written], check=True)
    reached = counts.of_package(LLVM_COV, objects, profile, TOP)
    write_cobertura(reached, report / "compiled.xml")
    found = unreached.complaints(reached)
    checked = [count for name, lines in reached.items() if unreached.CHECKED.fullmatch(name)
               for count in lines.values()]
    (report / "check.txt").write_text("".join(f"{complaint}\n" for complaint in found)
                                      + f"of {len(checked)} lines {checked.count(0)} not reached, "
                                      f"{len(found)} complaints\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
