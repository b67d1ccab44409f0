"""How does a new configuration come into force while pillion runs?

    SIGHUP, or a file that has changed --> read and checked --> put together --> in force, for the next request
                                                 |                   |
                                                 +-- anything wrong -+--> logged, and nothing changes

One reload at a time; all that are asked for during one become the next one. docs/decisions/0023-reload.md says what
lives on, and what needs a restart.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from time import time
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from proxy.app import App
from proxy.config import Config, LimitsRow, Source
from proxy.errors import ConfigError, LedgerUnavailable
from proxy.logs import Log, change_level
from proxy.process.greeting import warn

LOOK = 2.0  # seconds between two looks at the file
SUCCESS, FAILURE = "success", "failure"

# What stays the same as long as the process lives, by the names that operators know.
FIXED: Mapping[str, Callable[[Config], Any]] = {
    "listen": lambda config: config.listen,
    "metrics_address": lambda config: config.metrics_address,
    "admin.address": lambda config: config.admin_address,
    "state_dir": lambda config: config.state_dir,
    "ledger": lambda config: config.ledger,
    "store": lambda config: config.store,
    "log.format": lambda config: config.log.format,
    "cache.stored": lambda config: config.cache.stored,
}

# What keeps others out, and whom there is to ask besides echo, whose answers would pass for theirs. Both may be missing
# from a file of which only the beginning is written yet: YAML marks no end.
GUARDS: Mapping[str, Callable[[Config], bool]] = {
    "providers": lambda config: not all(provider.assumed for provider in config.providers.values()),
    "client keys": lambda config: config.has_keys,
    "budgets": lambda config: bool(config.budgets),
    "limits": lambda config: config.limits != LimitsRow(),
}

log = logging.getLogger("pillion")


class Reloading:
    """A context: inside, the configuration may change. `every`: seconds between two looks."""

    def __init__(self, app: App, source: Source, lines: Log, every: float = LOOK) -> None:
        self.results: dict[tuple[str, ...], int] = {(SUCCESS,): 0, (FAILURE,): 0}
        self.succeeded_at = time()
        self.has_succeeded = True  # the last one; a start is one, too
        self._app = app
        self._source = source
        self._lines = lines
        self._every = every
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_over = False
        self._has_file = True
        self._watch()

    def __repr__(self) -> str:
        return f"<Reloading {self._source}: {dict(self.results)}>"

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="reloading")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A reload that is under way is dropped: nothing of it is in force yet."""
        assert self._task is not None
        self._is_over = True
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def ask(self) -> None:
        """Read the file, whether it has changed or not."""
        if self._is_over:
            log.warning(
                "pillion is shutting down, and no longer reads its configuration", extra={"event": "reload_failed"}
            )
        self._asked.set()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):  # wait_for, up to Python 3.11, may lose a cancellation
                    await self._asked.wait()
            self._miss()
            if self._asked.is_set():
                self._asked.clear()
                await self._reload("SIGHUP")
            elif self._app.config.reload and self._source.has_changed():
                await self._reload("file")

    def _miss(self) -> None:
        """Say once that the file is gone, since nothing else would before the next start, and once that it is back."""
        lost, had = self._source.lost(), self._has_file
        self._has_file = not lost
        if lost and had:
            words = "%s cannot be found (%s): what was read from it stays in force, but a start would fail"
            log.warning(words, self._source, lost, extra={"event": "config_file_lost"})
        elif not lost and not had:
            log.info("%s is there again", self._source, extra={"event": "config_file_back"})

    async def _reload(self, by: str) -> None:
        before = self._app.config
        try:
            later = await asyncio.to_thread(self._source.load)
            check_fixed(before, later)
            if by == "file":
                check_guards(before, later)
            await self._app.become(later)
        except (ConfigError, LedgerUnavailable) as error:
            self._failed(by, str(error).splitlines())
        except Exception:
            log.exception("a reload failed because of a bug in pillion", extra={"event": "reload_failed", "by": by})
            self._failed(by, [])
        else:
            self._succeeded(by, before, later)

    def _failed(self, by: str, problems: list[str]) -> None:
        self.results[FAILURE,] += 1
        self.has_succeeded = False
        for problem in problems:
            log.error("%s", problem, extra={"event": "reload_failed", "by": by})
        words = "configuration %s stays in force: the new one cannot be used"
        log.error(words, self._app.config.fingerprint, extra={"event": "reload_failed", "by": by})

    def _succeeded(self, by: str, before: Config, later: Config) -> None:
        self.results[SUCCESS,] += 1
        self.succeeded_at, self.has_succeeded = time(), True
        change_level(self._lines, later.log.level)
        log.info("configuration %s is in force", later.fingerprint, extra={"event": "reloaded", "by": by})
        warn(later, self._app.clients.ring.found, before)

    def _watch(self) -> None:
        about = "Reloads of the configuration, by result."
        self._app.metrics.tally("pillion_config_reloads_total", about, ["result"], lambda: self.results)
        about = "0 while the configuration on disk is not the one in force."
        self._app.metrics.watch("pillion_config_last_reload_successful", about, lambda: self.has_succeeded)
        about = "When the configuration was last reloaded, or pillion started, in seconds since 1970."
        name = "pillion_config_last_reload_success_timestamp_seconds"
        self._app.metrics.watch(name, about, lambda: self.succeeded_at)


def check_fixed(before: Config, later: Config) -> None:
    """Raises ConfigError, a line for each changed setting that only a restart can change."""
    if problems := list(_changed(before, later)):
        raise ConfigError("\n".join(problems))


def check_guards(before: Config, later: Config) -> None:
    """Raises ConfigError where a file that may still be half written has lost one of these."""
    if gone := [name for name, are_there in GUARDS.items() if are_there(before) and not are_there(later)]:
        raise ConfigError(f"the file no longer has any {' or '.join(gone)}: send SIGHUP if that is intended")


def _changed(before: Config, later: Config) -> Iterator[str]:
    for name, of in FIXED.items():
        for key, was, now in _differing(name, of(before), of(later)):
            yield f"{key}: was {_told(was)} and is now {_told(now)}, which requires a restart"


def _differing(key: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """What differs, with its key; of a table, each of its keys that does."""
    if isinstance(was, Struct):
        for field in was.__struct_fields__:
            yield from _differing(f"{key}.{field}", getattr(was, field), getattr(now, field))
    elif was != now:
        yield key, was, now


def _told(value: Any) -> str:
    return "nothing" if value is None else str(value)
