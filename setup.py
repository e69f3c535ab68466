"""The compiled loops of distill; where they cannot be built, the same work is done in Python, with the same bytes and more slowly."""

import hashlib
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FOLDER = Path("distill/compiled")
FLAGS = [] if sys.platform == "win32" else ["-O3"]
SOURCES = [path for path in sorted(FOLDER.iterdir()) if path.suffix in {".pyx", ".pxd", ".h"}]
SOURCE = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()

extensions = [
    Extension(
        f"distill.compiled.{path.stem}", [path.as_posix()], depends=[path.as_posix() for path in SOURCES], optional=True,
        define_macros=[("DISTILL_SOURCE", f'"{SOURCE}"')], extra_compile_args=FLAGS,
    )
    for path in SOURCES if path.suffix == ".pyx"
]  # fmt: skip
setup(ext_modules=cythonize(extensions, language_level=3))
