# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings of the documentation site: `make docs` builds it of README.md and docs/ (see tests/docs/site.py)."""

import gmemsim
from tests.docs.site import SOURCES

project = "gmemsim"
version = release = gmemsim.__version__
language = "en"
extensions = ["myst_parser", "sphinx.ext.autodoc", "tests.docs.site"]

# The source folder is that of the repository, so that links between its files are what they are in a checkout.
root_doc = "README"
include_patterns = SOURCES
source_suffix = {".md": "markdown"}
exclude_patterns = ["build", "out", ".venv*", "**/node_modules"]

myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
nitpicky = True
# Types of rooms that are no public interface have no page; the names of `import gmemsim` do.
nitpick_ignore_regex = [("py:.*", rf"(?!gmemsim\.({'|'.join(gmemsim.__all__)})\b).*")]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False
toc_object_entries = False

html_theme = "furo"
html_title = f"gmemsim {version}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
