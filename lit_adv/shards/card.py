"""The data set card: a ``README.md`` that says in words what an output folder holds, and lets other tools open it.

Its YAML head tells Hugging Face ``datasets`` which files are the data; left to guess, it takes the JSON files for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lit_adv.shards.remote import redact

CARD_FILE = "README.md"

_HEAD = """\
---
configs:
- config_name: default
  data_files: "*.tar"
tags:
- adversarial-examples
- webdataset
---
"""

_LOSSY = """
Some tools encode a decoded WebP image again, lossily: Hugging Face `datasets`' `map` and `from_generator` do as soon as
a function looks at it. That damages the perturbation and breaks the budget; `cast_column(NAME, Image(decode=False))`
first keeps the bytes.
"""

_READ = """
## How to read it

With Hugging Face `datasets`, by the folder's name (the builder `webdataset` with `data_dir` would open every file as a
tar):

```python
from datasets import load_dataset

dataset = load_dataset("FOLDER", split="train")
image, label = dataset[0]["{extension}"], dataset[0]["cls"]
```

With webdataset (leave its `cache_dir` off: it names copies by the shards' file names alone, and the clean shards have
the same):

```python
import webdataset as wds

dataset = wds.WebDataset("FOLDER/{shard}", shardshuffle=False).decode("pil")
```

With timm, the adversarial images{and_clean}:

```python
from timm.data import create_dataset

adversarial = create_dataset("wds/adversarial", root="FOLDER", split="adversarial", is_training=False)
{clean_dataset}```

As PNG files with a CSV of labels: `lit-adv unpack FOLDER IMAGES`.

## How to make it again

`lit-adv generate --config FOLDER/config.yaml --data.shards SHARDS --output.path ANOTHER`, with the same input shards.
`job.json` has every setting that has a part in the bytes, `manifest.json` the checksums; `lit-adv verify FOLDER`
compares all of it with the shards.
"""


def data_set_card(config: Mapping[str, Any], totals: Mapping[str, int | float], shard: str) -> str:
    """Return the card of a finished folder.

    Args:
        config: The job's configuration, as ``job.json`` records it.
        totals: The totals over all shards by name, see :class:`lit_adv.shards.manifest.Summary`; those that were not
            counted are left out.
        shard: File name of a shard, for an example.
    """
    model, output = config.get("model", {}), config["output"]
    extension, clean = output["format"], output["clean_images"]
    attack = model.get("attack", "an attack")
    surrogates = [redact(str(spec)) for spec in model.get("surrogate", {})]
    rows = "\n".join(f"| {name} | {value} |" for name, value in _facts(config, totals))
    clean_dataset = (
        'clean = create_dataset("wds/adversarial", root="FOLDER", split="adversarial", is_training=False,\n'
        f'                       input_key="clean.{extension};jpg")  # timm needs jpg named, too\n'
    )
    files = {
        f"KEY.{extension}": "the adversarial image, lossless",
        **({f"KEY.clean.{extension}": "the clean image, as it was attacked"} if clean else {}),
        "KEY.cls": "the label",
        "KEY.json": "key, label, target if there is one, the surrogate's classes before and after (`prediction_clean`, "
        "`prediction`), `fooled`, and the change: `linf` in grey levels, `l2` with pixels in [0, 1]",
    }
    return "\n".join(
        [
            f"{_HEAD}\n# Adversarial images: {attack} on {' + '.join(surrogates) or 'a surrogate'}\n",
            f"| | |\n|---|---|\n{rows}\n",
            "## What a sample holds\n\n| file | holds |\n|---|---|",
            *(f"| `{name}` | {content} |" for name, content in files.items()),
            *([_LOSSY.rstrip()] if extension == "webp" else []),
            _READ.format(
                extension=extension,
                shard=shard,
                and_clean=" and the clean ones" if clean else "",
                clean_dataset=clean_dataset if clean else "",
            ).rstrip(),
            "",
        ]
    )


def _facts(config: Mapping[str, Any], totals: Mapping[str, int | float]) -> Iterator[tuple[str, str]]:
    model, budget = config.get("model", {}), config["budget"]
    given = {name: value for name, value in model.get("attack_options", {}).items() if value is not None}
    options = {name: given[name] for name in sorted(given, key=lambda name: (name not in ("eps", "steps"), name))}
    yield "attack", f"`{model.get('attack', 'unknown')}`: " + ", ".join(f"{k} {_show(v)}" for k, v in options.items())
    for spec, sha256 in model.get("surrogate", {}).items():
        yield "surrogate", f"`{redact(str(spec))}`, weights' SHA-256 `{sha256}`"
    yield "perturbation budget", "none in L-infinity" if budget is None else f"{budget} grey levels in L-infinity"
    yield "images", f"{totals['images']} in {totals['shards']} shards; {totals['skipped']} samples were skipped"
    yield "size", f"{config['data']['image_size']} x {config['data']['image_size']} pixels"
    if "clean_accuracy" in totals:
        yield "clean accuracy", f"{totals['clean_accuracy']:.1%}: the surrogate is right about the clean images"
    yield (
        "success rate",
        f"{totals['success_rate']:.1%} fool the surrogate"
        + (
            f"; {totals['success_on_correct']:.1%} of those that it is right about when clean"
            if totals.get("clean_correct")
            else ""
        ),
    )
    yield "change", f"{totals['linf_mean']:.1f} grey levels (mean L-infinity), {totals['l2_mean']:.2f} in L2"
    yield "computed in", f"precision {config.get('precision')}, device {config.get('device')}"


def _show(value: Any) -> str:
    return (
        f"{value * 255:g}/255"
        if isinstance(value, float) and 0 < value < 1 and (value * 255).is_integer()
        else str(value)
    )
