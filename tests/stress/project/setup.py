import os

from Cython.Build import cythonize
from setuptools import setup

extensions = cythonize("stress_kit/*.pyx", language_level=3, nthreads=os.cpu_count() or 1,
                       compiler_directives={"freethreading_compatible": True})
for extension in extensions:
    # For a sanitizer, say "-g -fsanitize=thread".
    flags = os.environ.get("STRESS_KIT_FLAGS", "").split()
    extension.extra_compile_args = ["-O1", "-g1", "-Wno-unused-function", *flags]
    extension.extra_link_args = ["-pthread", *flags]
setup(ext_modules=extensions)
