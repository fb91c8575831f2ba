"""Small variables of every type that a checkpoint may hold."""

import numpy as np

RNG = np.random.default_rng(0)
TENSORS = {
    "Net/Conv2d_1a_3x3/weights": RNG.standard_normal((3, 3, 64, 128), dtype=np.float32),
    "Net/Conv2d_1a_3x3/BatchNorm/beta": RNG.standard_normal(40, dtype=np.float32),
    "Net/Conv2d_1a_3x3/BatchNorm/moving_mean": np.zeros(4000, np.float32),
    "Net/double": RNG.standard_normal(3),
    "Net/empty": np.zeros((0, 2), np.float32),
    "Net/flags": np.array([True, False, True]),
    "Net/half": np.array([1.5, -0.25, 6e-8], np.float16),
    "Net/negative": np.array([[-1, 2**31 - 1, -(2**31)]], np.int32),
    "global_step": np.array(2**40 + 7, np.int64),
}
SMALL = {name: tensor for name, tensor in TENSORS.items() if tensor.size < 100}
LAYERS = {
    "Net/Net/Conv2d_1a_3x3/Conv2D": {"weights": RNG.standard_normal((40, 3, 3, 3), dtype=np.float32)},
    "Net/Net/Conv2d_1a_3x3/BatchNorm/FusedBatchNorm": {
        key: RNG.standard_normal(40, dtype=np.float32) for key in ("scale", "bias", "mean", "var")
    },
    "Net/Logits/Conv2D": {
        "weights": RNG.standard_normal((10, 40, 1, 1), dtype=np.float32),
        "bias": RNG.standard_normal(10, dtype=np.float32),
    },
}


def assert_same(read: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Assert that arrays are equal bit for bit."""
    assert read.keys() == expected.keys()
    for name, array in expected.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape), name
        assert read[name].tobytes() == array.tobytes(), name
