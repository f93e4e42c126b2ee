# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion in bash, where click's own is not enough.

Theory of operation
-------------------
Bash breaks words at ``=`` and ``:``, which ours have in them (``--set host.costs=default``), and hands on the pieces.
So the script passes the line as it is typed, and what is offered loses what bash takes for earlier words
(:func:`_after_break`).  Bash shows what it is given as it is, so what the shell would read is quoted here.  Names and
files are offered together, and no blank is added to a word that must go on.

What may live here: how bash is spoken to.  What is offered is :mod:`gmemsim.cli.completion`'s.
"""

from __future__ import annotations

import os
import re
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

_SCRIPT = """\
%(complete_func)s() {
    local type value answer found
    COMPREPLY=()
    answer=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    while IFS=',' read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            open) COMPREPLY+=("$value"); compopt -o nospace ;;
            file) compopt -o filenames
                while IFS= read -r found; do
                    [[ -n $found ]] && COMPREPLY+=("$found")
                done < <(compgen -f -- "$value") ;;
        esac
    done <<< "$answer"
    return 0
}

%(complete_func)s_setup() {
    complete -o nosort -o bashdefault -o default -F %(complete_func)s %(prog_name)s
}

%(complete_func)s_setup;
"""

_READ_BY_THE_SHELL = re.compile(r"[^\w@%+=:,./-]", re.ASCII)


class BashCompletion(BashComplete):
    """As click's, for words with ``=`` and ``:`` in them."""

    source_template = _SCRIPT
    _word = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is typed, and that one."""
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)[1:]
        self._word = "" if line[-1:].isspace() else re.split(r"\s", line)[-1]
        incomplete = words.pop() if self._word and words else ""
        return words, incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """``type,value``, the value without what bash has put into earlier words."""
        if item.type != "plain":
            return f"{item.type},{item.value}"
        value = item.value
        if self._word[:1] == "-" and "=" in self._word:  # --option=value, of which click has asked for the value
            value = f"{self._word.partition('=')[0]}={value}"
        if self._word[:1] not in ("'", '"'):
            value = _READ_BY_THE_SHELL.sub(r"\\\g<0>", _after_break(self._word, value))
        return f"{'open' if item.open else 'plain'},{value}"


def _after_break(word: str, value: str) -> str:
    """``value``, of which ``word`` has been typed, without the pieces that are words of their own for bash."""
    breaks = "".join({*os.environ.get("COMP_WORDBREAKS", "")} & {*"=:"})
    if not breaks:
        return value
    pieces = re.split(f"(?<=[{breaks}])", value)
    return "".join(pieces[len(re.findall(f"[{breaks}]", word)) :])


def register() -> None:
    """Let bash be answered by :class:`BashCompletion`."""
    add_completion_class(BashCompletion)
