#!/usr/bin/env python
"""Train on adversarial shards, and evaluate how well they transfer.

``python train_adv.py fit --config configs/train/ensemble.yaml`` trains a classifier or a denoiser, ``validate`` runs
the validation alone, ``test --config FILE --data.attacks '{NAME: FOLDER}'`` shows the shards to other models.
"""

import sys

from lit_adv.cli.main import main

if __name__ == "__main__":
    sys.exit(main(commands=("fit", "validate", "test"), prog="train_adv.py"))
