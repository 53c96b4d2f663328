from Cython.Build import cythonize
from setuptools import setup

setup(ext_modules=cythonize("foreign_setuptools/*.pyx", language_level=3))
