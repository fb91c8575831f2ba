#!/usr/bin/env bash
# adversarial-robustness-toolbox 1.20.1 (torch 2.13.0, numpy 2.4.6, scipy 1.17.1, Python 3.11): beyond ten classes DeepFool
# measures an image's margin from the logit of some other class.
#
# nb_grads (10 unless said otherwise) limits DeepFool to the likeliest classes. ART then looks the image's own logit up
# by its position among those classes, in the list of all classes: the fourth of them is taken for class number 3. The
# gradients are those of the right class, the margins are not. If the class taken is among the likeliest its margin is
# zero, it is held for the nearest, and the image comes back as it was; if not, the step is of a wrong length. With ten
# classes (MNIST, CIFAR-10) all is well. With 20 the default returns 38 % of the images clean, where all gradients fool
# every one; with 100 it finds six times the distance. Which class is taken depends on the other images handed in, too,
# for the likeliest classes of all of them are put together.
#
# Guess that fails: "fewer gradients make DeepFool faster, and at worst a little weaker".
# Output seen:
#   10 classes, 10 gradients, 1 at a time: fooled 100 %, unmoved 0 %, median distance of the fooled 0.15
#   20 classes, 20 gradients, 64 at a time: fooled 100 %, unmoved 0 %, median distance of the fooled 0.13
#   20 classes, 10 gradients, 1 at a time: fooled 62 %, unmoved 38 %, median distance of the fooled 0.28
#   20 classes, 10 gradients, 4 at a time: fooled 62 %, unmoved 28 %, median distance of the fooled 0.13
#   100 classes, 100 gradients, 64 at a time: fooled 100 %, unmoved 0 %, median distance of the fooled 0.09
#   100 classes, 10 gradients, 1 at a time: fooled 100 %, unmoved 0 %, median distance of the fooled 0.60
#   100 classes, 10 gradients, 4 at a time: fooled 67 %, unmoved 6 %, median distance of the fooled 0.39
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet adversarial-robustness-toolbox==1.20.1 torch==2.13.0 numpy==2.4.6 scipy==1.17.1 packaging==26.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - > seen <<'PYTHON'
import numpy as np
import torch
from art.attacks.evasion import DeepFool
from art.estimators.classification import PyTorchClassifier

IMAGES = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()


def show(classes: int, gradients: int, size: int) -> None:
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, classes))
    loss = torch.nn.CrossEntropyLoss()
    model = PyTorchClassifier(network, loss=loss, input_shape=(3, 8, 8), nb_classes=classes, clip_values=(0, 1))
    attack = DeepFool(model, max_iter=10, epsilon=0.02, nb_grads=gradients, batch_size=size, verbose=False)
    images = np.concatenate([attack.generate(part) for part in np.split(IMAGES, len(IMAGES) // size)])
    fooled = model.predict(images).argmax(1) != model.predict(IMAGES).argmax(1)
    distances = np.linalg.norm((images - IMAGES).reshape(len(IMAGES), -1), axis=1)
    print(
        f"{classes} classes, {gradients} gradients, {size} at a time: fooled {100 * fooled.mean():.0f} %, "
        f"unmoved {100 * (distances == 0).mean():.0f} %, median distance of the fooled {np.median(distances[fooled]):.2f}"
    )


for arguments in ((10, 10, 1), (20, 20, 64), (20, 10, 1), (20, 10, 4), (100, 100, 64), (100, 10, 1), (100, 10, 4)):
    show(*arguments)
PYTHON
cat seen
diff - seen <<'EXPECTED'
10 classes, 10 gradients, 1 at a time: fooled 100 %, unmoved 0 %, median distance of the fooled 0.15
20 classes, 20 gradients, 64 at a time: fooled 100 %, unmoved 0 %, median distance of the fooled 0.13
20 classes, 10 gradients, 1 at a time: fooled 62 %, unmoved 38 %, median distance of the fooled 0.28
20 classes, 10 gradients, 4 at a time: fooled 62 %, unmoved 28 %, median distance of the fooled 0.13
100 classes, 100 gradients, 64 at a time: fooled 100 %, unmoved 0 %, median distance of the fooled 0.09
100 classes, 10 gradients, 1 at a time: fooled 100 %, unmoved 0 %, median distance of the fooled 0.60
100 classes, 10 gradients, 4 at a time: fooled 67 %, unmoved 6 %, median distance of the fooled 0.39
EXPECTED
