"""A shard of which it is known how many samples it holds, open for reading them in any order."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager

from lit_adv.shards.attacked import AttackedFolder, DamagedShardsError
from lit_adv.shards.remote import redact
from lit_adv.shards.storage import join, staged
from lit_adv.shards.tar import SampleError, ShardError, index_samples, read_sample


class CountedShard:
    """A shard's file, held to the limits of :mod:`lit_adv.shards.tar`.

    Args:
        url: Where it is; also an attribute.
        samples: How many samples it must hold.
        remedy: What the user can do if it cannot be used.

    Raises:
        OSError: If it cannot be read.
        DamagedShardsError: If it is damaged or holds another number of samples; the message names it and the remedy.
    """

    def __init__(self, url: str, samples: int, remedy: str) -> None:
        self.url = url
        self._remedy = remedy
        with ExitStack() as opened, self._blame(None):
            self._file = opened.enter_context(staged(url))
            self._samples = index_samples(self._file, url)
            if len(self._samples) != samples:
                raise ShardError(url, f"it holds {len(self._samples)} samples instead of {samples}")
            self._opened = opened.pop_all()

    @property
    def keys(self) -> list[str]:
        """The samples' keys, in the shard's order."""
        return [sample.key for sample in self._samples]

    @contextmanager
    def sample(self, number: int, extensions: Set[str]) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Read some files of a sample; the body decodes them, and what is wrong with them is blamed on the sample.

        Args:
            number: The sample's number in the shard, from 0.
            extensions: Of the files to read; those that the sample has not are left out.

        Yields:
            The sample's key, and the files' contents by extension.

        Raises:
            DamagedShardsError: If the body raises SampleError; the message names shard, sample and remedy.
        """
        key, members = self._samples[number]
        with self._blame(key):
            wanted = {extension: member for extension, member in members.items() if extension in extensions}
            yield key, read_sample(self._file, self._samples[number]._replace(members=wanted))

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    @contextmanager
    def _blame(self, key: str | None) -> Iterator[None]:
        try:
            yield
        except ShardError as error:
            raise DamagedShardsError(f"{error}; {self._remedy}") from error
        except SampleError as error:
            raise DamagedShardsError(f"{redact(self.url)}: sample {key!r}: {error}; {self._remedy}") from error


def open_adversarial(folder: AttackedFolder, name: str) -> CountedShard:
    """Open a shard of a finished folder by its file name; see :class:`CountedShard`."""
    remedy = f"run lit-adv verify {redact(folder.path)} --repair, and lit-adv generate again"
    return CountedShard(join(folder.path, name), folder.shards[name].samples, remedy)
