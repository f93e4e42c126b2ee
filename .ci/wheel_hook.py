# SPDX-License-Identifier: GPL-2.0-or-later
"""What hatchling calls when a wheel is built: puts the compiled form in if ``GMEMSIM_WHEEL=compiled`` asks for it.

Without that a wheel is pure Python and fits everywhere (``py3-none-any``).  With it the wheel is tagged for the Python
and the platform that build it, and holds the sources too: ``GMEMSIM_PURE=1`` works there as well.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "gmemsim/compiled/lib"


class CustomBuildHook(BuildHookInterface):
    """Includes the folder that ``make fast`` has made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files and say that they are for this platform."""
        if os.environ.get("GMEMSIM_WHEEL") != "compiled":
            return
        library = Path(self.root, LIBRARY)
        if not (library / "stamp").exists():
            raise RuntimeError("there is no compiled form to put into the wheel: `make fast`")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in library.rglob("*"):
            if path.is_file():
                build_data["force_include"][str(path)] = f"{LIBRARY}/{path.relative_to(library)}"
