# SPDX-License-Identifier: GPL-2.0-or-later
"""Editors complete and check scenarios by the line that scenarios begin with: asked of the YAML language server itself.

The server comes from npm, in a pinned version, into a folder of the cache; without npm or network the test is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gmemsim.cli.main import gmemsim
from gmemsim.scenario.shipped import TEMPLATES, scenarios, template

LINE = "# yaml-language-server: $schema=gmemsim.schema.json\n"
SERVER = "yaml-language-server@1.19.2"
INSTALLED = 240
"""Seconds that npm may take."""


def test_every_scenario_names_its_schema() -> None:
    for path in scenarios().values():
        assert path.read_text(encoding="utf-8").startswith(LINE), path
    for name in TEMPLATES:
        assert template(name).startswith(LINE), name


def server() -> list[str]:
    """The command of the language server, installed if need be."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("there is no npm")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gmemsim-tests" / SERVER
    script = cache / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    if not (cache / "complete").exists():
        cache.mkdir(parents=True, exist_ok=True)
        options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(cache)]
        try:
            subprocess.run([npm, "install", *options, SERVER], check=True, capture_output=True, timeout=INSTALLED)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"npm cannot install {SERVER}: {error}")
        (cache / "complete").touch()
    return [node, str(script), "--stdio"]


class Editor:
    """The client of a language server, which has one file open."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)
        self._uri = (folder / "mine.yaml").as_uri()
        self._asked = 0
        settings = {"textDocument": {"completion": {"completionItem": {"snippetSupport": False}}}}
        self.ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": settings})
        self._send({"method": "initialized", "params": {}})
        self._version = 0

    def open(self, text: str) -> list[dict[str, Any]]:
        """Put ``text`` into the file; what the server says is wrong with it."""
        self._version += 1
        if self._version == 1:
            document = {"uri": self._uri, "languageId": "yaml", "version": 1, "text": text}
            self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        else:
            changed = {"uri": self._uri, "version": self._version}
            changes = {"textDocument": changed, "contentChanges": [{"text": text}]}
            self._send({"method": "textDocument/didChange", "params": changes})
        while True:
            message = self._receive()
            if message.get("method") == "textDocument/publishDiagnostics":
                found: list[dict[str, Any]] = message["params"]["diagnostics"]
                return found

    def offered(self, text: str) -> set[str]:
        """What is offered where ``|`` stands in ``text``."""
        before, _, after = text.partition("|")
        self.open(before + after)
        place = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
        answer = self.ask("textDocument/completion", {"textDocument": {"uri": self._uri}, "position": place})
        return {item["label"] for item in answer["items"]}

    def ask(self, method: str, parameters: dict[str, Any]) -> Any:
        """The answer to a request; what the server asks meanwhile is answered with nothing."""
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": parameters})
        while True:
            message = self._receive()
            if message.get("id") == self._asked and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        length = 0
        while (line := self._process.stdout.readline().strip()) != b"":
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        assert length, "the language server has ended"
        message: dict[str, Any] = json.loads(self._process.stdout.read(length))
        if "id" in message and "method" in message:
            wanted = message.get("params") or {}
            answer = [None] * len(wanted["items"]) if message["method"] == "workspace/configuration" else None
            self._send({"id": message["id"], "result": answer})
        return message

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    folder = tmp_path_factory.mktemp("editor")
    command = server()
    schema = CliRunner().invoke(gmemsim, ["schema"]).stdout
    (folder / "gmemsim.schema.json").write_text(schema, encoding="utf-8")
    editor = Editor(command, folder)
    yield editor
    editor.close()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("|", {"host", "guests", "workload", "expect", "title", "seed"}),
        ("gmemsim: 1\nhost:\n  |\n", {"hugetlb", "kernel_memory", "costs", "memdesc"}),
        ("gmemsim: 1\nhost:\n  costs: |\n", {"default", "roth-snp-2025"}),
        ("gmemsim: 1\nguests:\n  - name: vm0\n    |\n", {"memory", "backing", "policy", "count"}),
        ("gmemsim: 1\nguests:\n  - name: vm0\n    policy:\n      ordering: |\n", {"restructure-first", "block-abort"}),
        ("gmemsim: 1\nworkload:\n  - |\n", {"convert", "allocate", "boot", "replay"}),
    ],
)
def test_the_language_server_completes(text: str, wanted: set[str], editor: Editor) -> None:
    assert wanted <= editor.offered(LINE + text)
    assert not wanted & editor.offered(text)


def test_the_language_server_finds_nothing_wrong_with_a_template_and_names_a_wrong_key(editor: Editor) -> None:
    text = template("page")
    assert editor.open(text) == []
    (fault,) = editor.open(text.replace("hugetlb:", "hugtlb:"))
    assert "hugtlb" in fault["message"]
    assert text.splitlines()[fault["range"]["start"]["line"]].strip().startswith("hugetlb:")
