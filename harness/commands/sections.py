"""Help of a group of commands: in sections, each description in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

_NO_LIMIT = 1000


class SectionedGroup(click.Group):
    """A group whose help lists its commands under headings, in the given order. click would list them by name, and cut
    descriptions to one line each.

    `sections`: heading to names of commands; commands that no section names come last, under "Commands".
    """

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sections = dict(sections or {})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the sections."""
        named = {name for names in self.sections.values() for name in names}
        rest = [name for name in self.list_commands(ctx) if name not in named]
        for heading, names in {**self.sections, "Commands": rest}.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [
                (name, command.get_short_help_str(_NO_LIMIT))
                for name, command in commands
                if command and not command.hidden
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
