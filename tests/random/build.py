"""build.py DIRECTORY SOURCE…: compiles Cython modules of this folder into the directory.

They cimport the public interface, and of the private one only what counts the sleeps; the
.pxd files and headers are the checkout's, the modules those of the installed package.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))

from extensions import build  # noqa: E402

if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    build(target / "source", target, [*map(Path, sys.argv[2:]), *HERE.glob("*.h")], private=True)
