"""What it costs to store adversarial images: time of one core and bytes an image, for each lossless setting.

python -m benchmarks.encoding FOLDER
"""

import argparse
import io
import time
from typing import Any

import numpy as np
from PIL import Image

from lit_adv.shards import storage
from lit_adv.shards.attacked import open_attacked
from lit_adv.shards.decode import decode_image
from lit_adv.shards.encode import encode_image
from lit_adv.shards.tar import index_samples, read_sample


def images(folder: str) -> list[Image.Image]:
    """Return the adversarial images of a finished folder."""
    attacked, found = open_attacked(folder), []
    extension = attacked.config["output"]["format"]
    for name in attacked.shards:
        with storage.staged(storage.join(folder, name)) as file:
            for sample in index_samples(file, name):
                found.append(decode_image({extension: read_sample(file, sample)[extension]}))
    return found


def measure(name: str, pictures: list[Image.Image], encode: Any, repeats: int = 3) -> None:
    """Print the least time of some repeats, and the mean size."""
    seconds, size = [], 0
    for _ in range(repeats):
        started = time.process_time()
        size = sum(len(encode(picture)) for picture in pictures)
        seconds.append(time.process_time() - started)
    print(f"{name:<34} {1000 * min(seconds) / len(pictures):6.2f} ms {size / len(pictures) / 1000:7.1f} kB")


def pillow(**settings: Any) -> Any:
    """Return an encoder with Pillow's settings."""

    def encode(picture: Image.Image) -> bytes:
        file = io.BytesIO()
        picture.save(file, **settings)
        return file.getvalue()

    return encode


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder of adversarial shards")
    pictures = images(parser.parse_args().folder)
    print(f"{len(pictures)} images of {pictures[0].width}x{pictures[0].height}")
    measure("png as generate writes it", pictures, lambda picture: encode_image(np.asarray(picture), "png"))
    measure("webp as generate writes it", pictures, lambda picture: encode_image(np.asarray(picture), "webp"))
    measure("png, Pillow's default", pictures, pillow(format="png"))
    measure("png, level 1", pictures, pillow(format="png", compress_level=1))
    measure("png, level 1, run lengths", pictures, pillow(format="png", compress_level=1, compress_type=3))
    measure("png, stored", pictures, pillow(format="png", compress_level=0))


if __name__ == "__main__":
    main()
