# SPDX-License-Identifier: GPL-2.0-or-later
"""Archives that are taken apart by tests and benchmarks."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: tarfile.TarFile, folder: str | Path) -> None:
    """Extract all of ``archive`` into ``folder``, and nothing outside of it where this Python can see to that.

    ``extractall`` has an argument for it since 3.11.4 only, and asks this attribute without it.
    """
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    archive.extractall(folder)
