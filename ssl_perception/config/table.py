"""The settings as a table: ``python -m ssl_perception.config.table docs/settings.md``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

from ssl_perception.config.section import settings
from ssl_perception.config.tree import Config


def markdown_table() -> str:
    """The settings as the table in docs/settings.md."""
    rows = ["| setting | default | bounds | what |", "|---|---|---|---|"]
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "multiple of"}
    for setting in settings(Config):
        bounds = ", ".join(f"{signs.get(k, k)} {v:g}" for k, v in setting.bounds.items())
        choices = get_args(setting.annotation) if get_origin(setting.annotation) is Literal else ()
        bounds = bounds or " / ".join(map(str, choices))
        default = setting.default if setting.default != "" else "(none)"
        what = setting.description.replace("|", "\\|")
        rows.append(f"| `{setting.name}` | {default} | {bounds} | {what} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    title = "# Settings\n\nDerived from `ssl_perception/config`. In YAML the dots are levels."
    Path(sys.argv[1]).write_text(f"{title}\n\n{markdown_table()}", encoding="utf-8")
