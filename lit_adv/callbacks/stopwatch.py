"""Where the time goes."""

from __future__ import annotations

import time


class Stopwatch:
    """Adds up the time between each start and stop; also a context that is timed.

    Attributes:
        seconds: The sum so far, in seconds.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started: float | None = None

    def start(self) -> None:
        """Begin to count."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Count the time since the start, if there was one."""
        if self._started is not None:
            self.seconds += time.perf_counter() - self._started
            self._started = None

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
