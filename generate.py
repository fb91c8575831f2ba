#!/usr/bin/env python
"""Make adversarial shards: ``python generate.py --config FILE --data.shards PATTERN --output.path FOLDER``."""

import sys

from lit_adv.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["generate", *sys.argv[1:]]))
