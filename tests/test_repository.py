# SPDX-License-Identifier: GPL-2.0-or-later
"""The repository itself: licence lines, citations, links, docstrings, what lies at the top, names of modules.

These are rules of the house (docs/ARCHITECTURE.md) that no other tool checks.  The files are those that git tracks or
would track, so outputs and environments do not count; without git every file that lies in an allowed place counts.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from gmemsim.version import __version__

ROOT = Path(__file__).parents[1]

TOP_LEVEL = {
    *("gmemsim", "scenarios", "tests", "notebooks", "docs", ".ci"),
    *("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff"),
    *("pyproject.toml", "Makefile", "constraints.txt"),
    *(".gitignore", ".gitattributes", ".editorconfig", ".pre-commit-config.yaml"),
}
"""What may lie at the top of the repository."""

LONGEST_MODULE = 500
"""Lines of a module of the package; one that grows beyond this holds more than one concept."""

COUNTERPARTS: dict[str, tuple[set[str], str]] = {
    "compare": ({"cli", "studies", "reports/screen"}, "one study: its command, its question, its table"),
    "tune": ({"cli", "studies", "reports/screen"}, "one study: its command, its question, its table"),
    "budget": ({"cli", "studies", "reports/screen"}, "one study: its command, its question, its table"),
    "reserve": ({"cli", "studies", "reports/screen"}, "one study: its command, its question, its table"),
    "faults": ({"cli", "studies", "reports/screen"}, "one study: its command, its question, its table"),
    "fuzz": ({"cli", "studies", "reports/screen"}, "one study: its command, its question, its table"),
    "explain": ({"cli", "studies", "reports/screen"}, "one study: its command, its question, its table"),
    "sweep": ({"cli", "studies", "reports/screen"}, "one study: its command, its question, its table"),
    "run": ({"cli", "sim", "reports/screen"}, "a run: its command, the run, its table"),
    "costs": ({"cli", "host", "reports/screen"}, "the prices: their command, their sources, their table"),
    "examples": ({"cli", "reports/screen"}, "the shipped scenarios: their command, their list"),
    "treeview": ({"reports/screen", "reports/figures"}, "a tree of the XArray: as text and as a picture"),
    "regions": ({"sim", "reports/figures"}, "regions of host memory: their recorder, their figure"),
    "check": ({"gmem", "xarray"}, "the invariants of each"),
}
"""Modules of one name in different rooms, and why that is one name for one thing."""

DOCUMENTED = ("xarray", "host", "gmem", "sim", "scenario", "results", "studies", "testing")
"""The rooms whose public functions must say what each of their arguments means."""

SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"
SOURCE_SUFFIXES = {".py", ".c", ".h", ".sh"}
SOURCE_NAMES = {"Makefile", "run"}

PAGE = re.compile(r"(?<![\w*])[\w./-]*\w\.md\b")
"""A page that is cited in code, with or without its folder."""

SECTIONS = re.compile(r"DOMAIN\.md,?[\s#\"']*(?:(?:sections?|§)[\s#\"']*)?(\d+(?:(?:\s*,\s*|\s+and\s+)\d+)*)")
"""``DOMAIN.md section 4``, ``DOMAIN.md sections 5 and 6``, ``DOMAIN.md, 3``, also across the end of a line."""

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)

NO_FILES = {"compare.md"}
"""Names that end as a page does: the output of a command."""


@cache
def files() -> tuple[str, ...]:
    """Every file of the repository, relative to its root."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return tuple(name for name in sorted(set(listed.stdout.splitlines())) if (ROOT / name).is_file())
    found = (path for top in sorted(TOP_LEVEL) for path in [ROOT / top, *(ROOT / top).rglob("*")])
    return tuple(str(path.relative_to(ROOT)) for path in found if path.is_file() and "__pycache__" not in path.parts)


def text(name: str) -> str:
    """The content of a file."""
    return (ROOT / name).read_text(encoding="utf-8")


SOURCES = [name for name in files() if Path(name).suffix in SOURCE_SUFFIXES or Path(name).name in SOURCE_NAMES]
PYTHON = [name for name in SOURCES if name.endswith(".py")]
PAGES = [name for name in files() if name.endswith(".md")]
MODULES = [name for name in PYTHON if name.startswith("gmemsim/")]


def words(name: str) -> str:
    """What a source says to people: of Python the comments and strings (docstrings included), else everything."""
    if not name.endswith(".py"):
        return text(name)
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    tokens = tokenize.generate_tokens(io.StringIO(text(name)).readline)
    return "\n".join(token.string for token in tokens if token.type in kinds)


def headings(page: str) -> list[str]:
    """The headings of a page."""
    return re.findall(r"^#+ (.+?)\s*$", FENCED.sub("", text(page)), re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that a heading gets where Markdown is shown."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"`|\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
    return kept.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """The anchors of a page."""
    return {anchor(heading) for heading in headings(str(page.resolve().relative_to(ROOT)))}


def unresolved(cited: str, citing: str) -> bool:
    """Whether no file of the repository is meant: neither beside ``citing``, nor from the root, nor by its own name."""
    beside = (ROOT / citing).parent / cited
    if beside.is_file() or (ROOT / cited).is_file():
        return False
    return not any(page == cited or page.endswith(f"/{cited}") for page in PAGES)


def test_the_files_are_found() -> None:
    assert {"gmemsim/host/geometry.py", "Makefile", ".ci/run", "tests/oracle/driver.c", "tests/oracle/build.sh"} <= {
        *SOURCES
    }
    assert {"README.md", "docs/DOMAIN.md"} <= {*PAGES}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_says_its_licence(name: str) -> None:
    assert any(SPDX in line for line in text(name).splitlines()[:2]), "the first line, or the one after #!"


def test_only_what_is_allowed_lies_at_the_top() -> None:
    assert {name.partition("/")[0] for name in files()} - TOP_LEVEL == set()


@pytest.mark.parametrize("name", [name for name in SOURCES if PAGE.search(text(name))])
def test_a_page_that_code_cites_exists(name: str) -> None:
    cited = set(PAGE.findall(words(name))) - NO_FILES
    assert {page for page in cited if unresolved(page, name)} == set()


def citations(said: str) -> Iterator[str]:
    """The numbers of the sections of DOMAIN.md that a text cites."""
    for match in SECTIONS.finditer(said):
        yield from re.findall(r"\d+", match[1])


def test_citations_are_read_in_every_form() -> None:
    said = "DOMAIN.md section 4, variants; (DOMAIN.md\nsection 6) DOMAIN.md sections 5 and 6 DOMAIN.md, 3 DOMAIN.md §2."
    assert list(citations(said)) == ["4", "6", "5", "6", "3", "2"]


def test_a_section_that_is_cited_exists() -> None:
    there = {match[1] for heading in headings("docs/DOMAIN.md") if (match := re.match(r"(\d+)\. ", heading))}
    cited = defaultdict(set)
    for name in [*SOURCES, *(name for name in files() if name.endswith((".yaml", ".ipynb"))), *PAGES]:
        for number in citations(text(name)):
            cited[number].add(name)
    assert {"2", "4", "5", "6"} <= set(cited)
    assert {number: names for number, names in cited.items() if number not in there} == {}


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_repository_resolve(page: str) -> None:
    broken = []
    for match in LINK.finditer(re.sub(r"`[^`\n]*`", "", FENCED.sub("", text(page)))):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        where = (ROOT / page).parent / path if path else ROOT / page
        if not where.exists() or (fragment and fragment not in anchors(where)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith(("docs/", "CONTRIBUTING"))])
def test_what_a_page_of_the_docs_names_exists(page: str) -> None:
    """Files in backquotes: from the root, or within the package."""
    named = re.findall(r"`([\w.-]+/[\w./-]*\w\.(?:py|md|sh|yaml|toml)|gmemsim/[\w/]+/)`", FENCED.sub("", text(page)))
    assert [name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "gmemsim"))] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/") and "::test_" in text(page)])
def test_a_test_that_a_page_names_exists(page: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)", text(page))
    assert len(named) == text(page).count("::test_")
    assert [name for file, name in named if f"\ndef {name}(" not in text(file)] == []


def test_no_module_is_longer_than_its_concept() -> None:
    lengths = {name: len(text(name).splitlines()) for name in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_a_name_stands_for_one_module_or_for_counterparts() -> None:
    rooms = defaultdict(set)
    for path in map(Path, MODULES):
        if not path.stem.startswith("_"):
            rooms[path.stem].add(str(path.parent.relative_to("gmemsim")))
    shared = {name: where for name, where in rooms.items() if len(where) > 1}
    assert shared == {name: where for name, (where, _) in COUNTERPARTS.items()}


def test_no_page_and_no_source_knows_the_place_it_was_written_at() -> None:
    place = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w+")
    assert [name for name in [*SOURCES, *PAGES] if place.search(text(name))] == []


def test_the_citation_names_this_version() -> None:
    cited = yaml.safe_load(text("CITATION.cff"))
    assert cited["version"] == __version__
    assert {"cff-version", "message", "title", "authors", "license"} <= set(cited)


Function = ast.FunctionDef | ast.AsyncFunctionDef
SENTENCE = re.compile(r"\.\s+|\n\s*\n")


@cache
def parsed(name: str) -> ast.Module:
    """The syntax tree of a source."""
    return ast.parse(text(name))


@cache
def classes() -> dict[str, list[ast.ClassDef]]:
    """The classes of the package by their name."""
    found = defaultdict(list)
    for name in MODULES:
        for node in ast.walk(parsed(name)):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(node)
    return found


def inherited(owner: ast.ClassDef, method: str) -> str:
    """What the bases of a class say about a method."""
    said = ""
    for base in owner.bases:
        for above in classes().get(ast.unparse(base).partition("[")[0].rpartition(".")[2], []):
            bodies = [node for node in above.body if isinstance(node, Function) and node.name == method]
            said += "".join(f"\n\n{ast.get_docstring(node) or ''}" for node in bodies) + inherited(above, method)
    return said


def described_below(body: list[ast.stmt]) -> set[str]:
    """The attributes that a string on the next line describes."""
    named = set()
    for statement, below in pairwise(body):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(below, ast.Expr):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            named.add(ast.unparse(target).removeprefix("self."))
    return named


def undescribed(value: ast.ClassDef) -> Iterator[str]:
    """The fields of a value that neither its docstring names, nor a string below them, nor an annotation describes."""
    said, below = ast.get_docstring(value) or "", described_below(value.body)
    for statement in value.body:
        if isinstance(statement, ast.AnnAssign) and not ast.unparse(statement.annotation).startswith(
            ("ClassVar", "Annotated")
        ):
            name = ast.unparse(statement.target)
            if not (name.startswith("_") or name in below or re.search(rf"``{name}(\[\w+\])?``", said)):
                yield name


def values(module: str) -> Iterator[ast.ClassDef]:
    """The public classes of a module whose constructor is made from their fields."""
    for node in parsed(module).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            made_by = [ast.unparse(part) for part in (*node.decorator_list, *node.bases)]
            if any(part.startswith(("attrs.", "dataclass", "NamedTuple")) for part in made_by):
                yield node


def public(body: list[ast.stmt], owner: ast.ClassDef | None = None) -> Iterator[tuple[str, Function, str]]:
    """The public functions, methods and constructors: name, definition, and all that is said of the arguments."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node.body, node)
        elif isinstance(node, Function) and owner is not None and node.name == "__init__":
            said = f"{ast.get_docstring(owner) or ''}\n\n{ast.get_docstring(node) or ''}"
            default = "default" if "default" in said else ""  # one sentence may say it for all of them
            yield owner.name, node, "\n\n".join([said, *(f"``{it}`` {default}" for it in described_below(node.body))])
        elif isinstance(node, Function) and not node.name.startswith("_"):
            if any(ast.unparse(decorator).endswith((".setter", "overload")) for decorator in node.decorator_list):
                continue
            said = ast.get_docstring(node) or ""
            where = f"{owner.name}." if owner else ""
            yield f"{where}{node.name}", node, said + (inherited(owner, node.name) if owner else "")


def unsaid(node: Function, said: str) -> Iterator[str]:
    """The arguments that no sentence names, and those with a default of which no such sentence speaks."""
    given = node.args
    ordered = [*given.posonlyargs, *given.args]
    optional = {argument.arg for argument in ordered[len(ordered) - len(given.defaults) :]}
    optional |= {name.arg for name, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value}
    extra = [argument for argument in (given.vararg, given.kwarg) if argument]
    sentences = SENTENCE.split(said)
    for name in [argument.arg for argument in [*ordered, *given.kwonlyargs, *extra]]:
        naming = [sentence for sentence in sentences if f"``{name}``" in sentence or f"``{name}()``" in sentence]
        if name in {"self", "cls"} or name.startswith("_"):
            continue
        if not naming:
            yield name
        elif name in optional and not any("default" in sentence for sentence in naming):
            yield f"{name}, its default"


def test_what_an_argument_lacks_is_found() -> None:
    source = '''
class Box:
    """Holds ``size`` bytes.  The other is ``order``."""
    def __init__(self, size: int, order: int = 0, *, node: int | None = None) -> None: ...
    def take(self, n: int, *more: int) -> None:
        """Take ``n`` of them."""
def free(n: int = 1) -> None:
    """Give ``n`` back (default: 1)."""
'''
    found = {name: list(unsaid(node, said)) for name, node, said in public(ast.parse(source).body)}
    assert found == {"Box": ["order, its default", "node"], "Box.take": ["more"], "free": []}


@pytest.mark.parametrize("room", DOCUMENTED)
def test_a_public_docstring_names_every_argument_and_its_default(room: str) -> None:
    """An argument stands in double backquotes; one with a default in a sentence that has the word "default"."""
    functions = [
        (f"{module}:{node.lineno} {name}", list(unsaid(node, said)))
        for module in MODULES
        if module.startswith(f"gmemsim/{room}/")
        for name, node, said in public(parsed(module).body)
    ]
    assert functions
    assert {where: lacking for where, lacking in functions if lacking} == {}


def test_what_a_field_lacks_is_found() -> None:
    source = '''
class Row:
    """A row of ``width``."""
    width: int
    key: ClassVar[str] = "row"
    height: int
    """In lines."""
    size: Annotated[int, Size("its bytes")]
    place: int = 0
'''
    (row,) = ast.parse(source).body
    assert isinstance(row, ast.ClassDef)
    assert list(undescribed(row)) == ["place"]


@pytest.mark.parametrize("room", DOCUMENTED[:-1])
def test_every_field_of_a_public_value_is_described(room: str) -> None:
    """By the class, by a string below it, or by the kind in its annotation, which messages and the schema show."""
    found = [
        (f"{module}:{value.lineno} {value.name}", list(undescribed(value)))
        for module in MODULES
        if module.startswith(f"gmemsim/{room}/")
        for value in values(module)
    ]
    assert found
    assert {where: lacking for where, lacking in found if lacking} == {}
