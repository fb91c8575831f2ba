"""``python -m lit_adv COMMAND``."""

import sys

from lit_adv.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
