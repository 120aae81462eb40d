"""``ssl-perception warm-up``: compile what would else be compiled at the first start."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from ssl_perception.config import Config
from ssl_perception.io.write import write_json
from ssl_perception.warm_up import warm_up


def run_warm_up(config: Config, json_file: Path | None, console: Console) -> dict[str, object]:
    """Run the configured method over small sweeps; say how long it took.

    From an empty cache that is a minute or more, from a full one a second or two.
    """
    began = time.perf_counter()
    with console.status("compiling kernels ..."):
        warm_up(config)
    seconds = time.perf_counter() - began
    console.print(f"{config.flow.method}: ready after {seconds:.1f} s")
    figures: dict[str, object] = {"method": config.flow.method, "seconds": seconds}
    if json_file is not None:
        write_json(json_file, figures)
    return figures
