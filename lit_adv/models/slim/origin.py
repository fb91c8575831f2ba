"""Where the weights of slim's networks come from."""

_ARCHIVES = {
    "inception_v3": (
        "inception_v3_2016_08_28",
        "adv_inception_v3_2017_08_18",
        "ens3_adv_inception_v3_2017_08_18",
        "ens4_adv_inception_v3_2017_08_18",
    ),
    "inception_v4": ("inception_v4_2016_09_09",),
    "inception_resnet_v2": ("inception_resnet_v2_2016_08_30", "ens_adv_inception_resnet_v2_2017_08_18"),
    "resnet_v2_101": ("resnet_v2_101_2017_04_14",),
}


def origin(network: str) -> str:
    """Say where a network's weights come from and what to do with them.

    Args:
        network: One of :data:`lit_adv.models.slim.NETWORKS`.

    Returns:
        A sentence.
    """
    archives = ", ".join(_ARCHIVES[network])
    return (
        f"unpack TensorFlow's checkpoint from http://download.tensorflow.org/models/NAME.tar.gz with NAME one of "
        f"{archives}, or fetch a .npy file of it from release v1.0 of https://github.com/ylhz/tf_to_pytorch_model, and "
        f"name it: slim:{network}@FILE"
    )
