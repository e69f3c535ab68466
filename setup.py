"""The compiled loops of distill; where they cannot be built, the same work is done in Python, with the same bytes and more slowly."""

import hashlib
import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FOLDER = Path("distill/compiled")
SOURCES = [path for path in sorted(FOLDER.iterdir()) if path.suffix in {".pyx", ".pxd", ".h"}]
SOURCE = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()

extensions = cythonize(
    [
        Extension(
            f"distill.compiled.{path.stem}", [path.as_posix()], depends=[path.as_posix() for path in SOURCES],
            define_macros=[("DISTILL_SOURCE", f'"{SOURCE}"')], extra_compile_args=[] if sys.platform == "win32" else ["-O3", "-g0"],
        )
        for path in SOURCES if path.suffix == ".pyx"
    ],
    language_level=3,
)  # fmt: skip
for extension in extensions:
    extension.optional = True  # cythonize forgets it
setup(ext_modules=extensions, options={"build_ext": {"parallel": os.cpu_count()}})
