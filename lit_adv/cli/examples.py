"""``lit-adv examples``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_adv.cli.arguments import at_least_one
from lit_adv.pictures import draw_shards


def examples(arguments: Sequence[str], prog: str = "lit-adv examples") -> None:
    """Draw adversarial images beside the clean ones, and say where the picture is."""
    parser = argparse.ArgumentParser(prog=prog, description="Draw the first images of shards before and after.")
    parser.add_argument("shards", help="a folder, a brace pattern or a glob of shards that hold clean images, too")
    parser.add_argument("--output", default="examples.png", help="the PNG file to write (default: examples.png)")
    parser.add_argument("--count", type=at_least_one, default=6, help="how many images (default: 6)")
    options = parser.parse_args(arguments)
    draw_shards(options.shards, options.output, options.count)
    print(f"examples: {Path(options.output).resolve()}")
