# SPDX-License-Identifier: GPL-2.0-or-later
"""Known vulnerabilities in the pinned versions: ``python -m tests.audit`` runs pip-audit (``make audit``).

Exit status 0: none is known; 1: some are, or pip-audit itself failed; 2: its database cannot be reached, or knows none
of the versions, as a mirror of packages does that has no such database.  pip-audit calls the latter "no known
vulnerabilities".
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.dist import NO_INDEX, ROOT

OPTIONS = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")


def main() -> int:
    """Ask, and say what was found, or that nobody could be asked."""
    command = [sys.executable, "-m", "pip_audit", *OPTIONS, "--requirement", "constraints.txt"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if any(words in done.stderr for words in NO_INDEX):
        sys.stderr.write("audit: not done: the database of vulnerabilities (PyPI's) cannot be reached from here\n")
        return 2
    if not done.stdout.strip():
        sys.stderr.write(done.stderr)
        return 1
    return _report(json.loads(done.stdout)["dependencies"])


def _report(packages: list[dict[str, Any]]) -> int:
    """Say what is known of the packages."""
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        sys.stderr.write(f"audit: not done: what answers for PyPI knows none of the {len(packages)} pinned versions\n")
        return 2
    found = [
        f"{package['name']} {package['version']}: {fault['id']}, fixed in {', '.join(fault['fix_versions']) or 'none'}"
        for package in packages
        for fault in package.get("vulns", ())
    ]
    known = len(packages) - len(unknown)
    sys.stdout.write(
        f"audit: {known} of {len(packages)} pinned versions looked up, {len(found)} vulnerabilities known\n"
    )
    sys.stdout.writelines(f"{line}\n" for line in found)
    if unknown:
        sys.stdout.write(f"not looked up: {', '.join(unknown)}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
