"""How well ComDefend rebuilds clean images: ``python scripts/comdefend_psnr.py SHARDS WEIGHTS``.

The mean over images of the peak signal-to-noise ratio, for both orders in which its networks can see the channels.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import nn
from torchmetrics.image import PeakSignalNoiseRatio

from lit_adv.data.decoder import Decoder
from lit_adv.data.reader import batch_shards
from lit_adv.defenses import ComDefend
from lit_adv.defenses.comdefend import ChannelOrder
from lit_adv.models.classifier import to_float
from lit_adv.shards.listing import list_shards


@torch.inference_mode()
def main() -> None:
    """Rebuild and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", help="a folder or a pattern of shards of labeled images")
    parser.add_argument("weights", help="the folder of the authors' weights")
    parser.add_argument("--images", type=int, default=16)
    options = parser.parse_args()
    batches = batch_shards(list_shards(options.shards), Decoder(), batch_size=1)
    usable = islice((batch for batch in batches if len(batch)), options.images)
    pairs = [(to_float(batch.images), batch.keys) for batch in usable]
    for channels in get_args(ChannelOrder):
        defense = ComDefend(nn.Identity(), options.weights, channels)
        psnr = PeakSignalNoiseRatio(data_range=1.0, reduction="elementwise_mean", dim=(1, 2, 3))
        for images, keys in pairs:
            psnr.update(defense.purify(images, keys), images)
        print(f"{channels}: {psnr.compute():.2f} dB over {len(pairs)} images")


if __name__ == "__main__":
    main()
