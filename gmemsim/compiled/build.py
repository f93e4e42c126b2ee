# SPDX-License-Identifier: GPL-2.0-or-later
"""Compile the modules of :mod:`gmemsim.compiled`: ``python -m gmemsim.compiled.build``.

Needs mypy's mypyc, setuptools and a C compiler; without them it says so and everything works uncompiled.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from gmemsim.compiled import LIBRARY, MODULES, STAMP, SUFFIX, source_of, stamp, up_to_date

DIRECT_CALLS = ["-fno-semantic-interposition", "-fvisibility=hidden"] if os.name == "posix" else []
"""What lets gcc and clang call our own functions directly, and inline them: nobody replaces them from outside."""


def missing() -> str | None:
    """What cannot be found of what compiling needs."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"the C compiler {compiler}"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python.h (the package python3-dev, or its like)"
    try:
        import mypyc.build  # noqa: F401 - only to see whether it is there
        import setuptools  # noqa: F401 - as above
    except ImportError as error:
        return f"the package {error.name}"
    return None


def build() -> None:
    """Compile, and put the result into place as a whole."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    made_from = stamp()
    with tempfile.TemporaryDirectory() as temporary:
        root = source_of("gmemsim.compiled").parents[1]
        before = Path.cwd()
        os.chdir(root)  # mypyc names modules by their path from here
        try:
            paths = [str(source_of(module).relative_to(root)) for module in MODULES]
            extensions = mypycify([*paths, "--strict"], opt_level="3", debug_level="0", target_dir=temporary)
            for extension in extensions:
                extension.extra_compile_args.extend(DIRECT_CALLS)
            command = build_ext(Distribution({"name": "gmemsim", "ext_modules": extensions}))
            command.build_lib = temporary
            command.build_temp = str(Path(temporary, "temp"))
            command.finalize_options()
            command.run()
        finally:
            os.chdir(before)
        shutil.rmtree(LIBRARY, ignore_errors=True)
        for made in Path(temporary).rglob(f"*{SUFFIX}"):
            if "temp" not in made.relative_to(temporary).parts:
                place = LIBRARY / made.relative_to(temporary)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(made, place)
    STAMP.write_text(made_from)


def main() -> int:
    """Compile if that is possible and needed; 0 even if not, since the sources work as they are."""
    if up_to_date():
        print("gmemsim: the compiled form is up to date")
        return 0
    lacking = missing()
    if lacking is not None:
        print(f"gmemsim: not compiled, {lacking} is missing; everything works without, only slower", file=sys.stderr)
        return 0
    build()
    print(f"gmemsim: compiled {len(MODULES)} modules into {LIBRARY}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
