# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim schema``: the JSON Schema of scenario files."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of scenario files.

    Editors complete and check scenario files by it.

    \b
    Example:
      gmemsim schema > gmemsim.schema.json
    """
    from gmemsim.scenario.format.jsonschema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
