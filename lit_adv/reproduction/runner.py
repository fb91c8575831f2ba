"""Running jobs, several at once, until all are done or the command is asked to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess

from lit_adv.errors import EXIT_STATUS, PreemptedError
from lit_adv.reproduction.jobs import Folder, Job
from lit_adv.reproduction.processes import Main, start_command

_GRACE_SECONDS = 28.0  # a generation takes up to 25 to write what it has
_SHOWN_LINES = 12


class Runner:
    """Runs jobs as processes.

    A job that fails keeps those from running that need it; the others go on.

    Args:
        main: Runs the arguments behind ``lit-adv``.
        folder: The output folder.
        parallel: How many jobs run at once.
        say: Called with what there is to tell.
    """

    def __init__(self, main: Main, folder: Folder, parallel: int, say: Callable[[str], None]) -> None:
        self._main = main
        self._folder = folder
        self._parallel = parallel
        self._say = say
        self._done: set[str] = set()
        self._running: dict[str, tuple[Job, ForkServerProcess, float]] = {}

    def run(self, jobs: Sequence[Job]) -> str | None:
        """Run the jobs that are not done.

        Args:
            jobs: The jobs; each stands behind those that it needs.

        Returns:
            Which jobs have failed, with the end of what each said; None if none has.

        Raises:
            PreemptedError: If a job was asked to stop. The jobs are stopped if anything is raised.
        """
        self._done = {job.name for job in jobs if self._folder.done(job)}
        waiting = [job for job in jobs if job.name not in self._done]
        ended: dict[str, int] = {}
        try:
            while True:
                self._start(waiting)
                if not self._running:
                    break
                self._reap(ended, len(waiting))
        except PreemptedError:
            self._say("asked to stop: what is done is kept; run the same command again to go on")
            raise
        finally:
            self._end_all()
        failed = [job for job in jobs if ended.get(job.name)]
        return self._explain(failed, len(waiting)) if failed else None

    def _start(self, waiting: list[Job]) -> None:
        """Start jobs whose needs are met, as many as may run."""
        for job in list(waiting):
            if len(self._running) >= self._parallel:
                return
            if self._done.issuperset(job.needs):
                waiting.remove(job)
                self._folder.write_config(job)
                process = start_command(self._main, self._folder.arguments(job), self._folder.log_file(job))
                self._running[job.name] = job, process, time.monotonic()

    def _reap(self, ended: dict[str, int], waiting: int) -> None:
        """Wait until jobs end, and note how."""
        ready = set(wait([process.sentinel for _, process, _ in self._running.values()], timeout=1.0))
        for name in [name for name, (_, process, _) in self._running.items() if process.sentinel in ready]:
            job, process, started = self._running.pop(name)
            process.join()
            status = process.exitcode or 0
            ended[job.name] = status
            if status == 0:
                self._folder.finish(job)
                self._done |= {name} if self._folder.done(job) else set()
            how = {0: "done", EXIT_STATUS: "stopped"}.get(status, f"failed with status {status}")
            left = waiting + len(self._running)
            self._say(f"{job.name}: {how} after {time.monotonic() - started:.0f} s; {left} to go")
            if status == EXIT_STATUS:
                raise PreemptedError

    def _end_all(self) -> None:
        """Ask the jobs to stop, and end those that do not."""
        deadline = time.monotonic() + _GRACE_SECONDS
        for _, process, _ in self._running.values():
            process.terminate()
        for _, process, _ in self._running.values():
            process.join(max(deadline - time.monotonic(), 0))
            if process.is_alive():
                process.kill()
                process.join()
        self._running.clear()

    def _explain(self, failed: Sequence[Job], left_out: int) -> str:
        texts = []
        for job in failed:
            lines = self._folder.log_file(job).read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
            texts.append("\n    ".join([f"{job.name} ({self._folder.log_file(job)}):", *lines]))
        more = f"\njobs that need them and have not run: {left_out}" if left_out else ""
        return f"failed jobs: {len(failed)}\n  " + "\n  ".join(texts) + more
