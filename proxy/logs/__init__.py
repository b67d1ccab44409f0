"""How does a line get to standard error, and what does it look like?

Whoever logs makes a struct of it; here it is written as JSON or as words for people, and handed to the writer. What
libraries log goes the same way.
"""

import logging
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import gmtime, strftime, time
from traceback import format_exception
from typing import Any, Protocol

import msgspec
from msgspec import Struct, field

from proxy.config import Log as Wish
from proxy.logs.redaction import Redaction
from proxy.logs.writer import Writer

LONGEST = 500  # characters of a text from outside
LONGEST_MISTAKE = 2_000  # of what is wrong with a configuration: it may name all the keys that there are
SEARCHED = 64 * 1024  # characters of it in which secrets are looked for
LONGEST_TRACE = 20_000  # of an exception's trace

_encode = msgspec.json.Encoder().encode
# A word that needs no quotes: it cannot be taken for two, nor for a field.
_plain = re.compile(r'[^\s="\x00-\x1f\x7f]+').fullmatch
_MILLISECONDS = [f".{number:03}Z" for number in range(1000)]

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Line(Struct, kw_only=True, omit_defaults=True, gc=False):
    """What every line begins with: when (UTC, ISO 8601), how bad, and what happened."""

    time: str
    level: str
    event: str


class Note(Line, kw_only=True, gc=False):
    """A message in words."""

    logger: str = ""
    id: str = ""  # of a request that reached no middleware, as are the next three
    status: int = 0
    error: str = ""  # its kind
    code: str = ""
    detail: str = ""  # the network's own words
    listen: str = ""  # where it listens, as do the next two; in the line of a start
    admin: str = ""
    metrics: str = ""
    in_your_app: str = ""  # what to export for the app, where the greeting was shown to nobody
    providers: list[str] = field(default_factory=list)
    asks_for_keys: bool | None = None  # must clients show one?
    by: str = ""  # what caused it: the signal that stops us, or what asked for a reload
    cut: int = 0  # answers that were cut at the end
    exit_code: int | None = None
    message: str = ""
    exception: str = ""


_MISTAKES = frozenset({"reload_failed", "unknown_variable", "doubtful_setting"})
_EXTRA = frozenset(Note.__struct_fields__) - {*Line.__struct_fields__, "logger", "message", "exception"}


Spell = Callable[[Line], bytes]


class Sink(Protocol):
    @property
    def lost(self) -> int:
        """Lines that were never written."""
        ...

    def write(self, line: bytes) -> None:
        """Never waits."""
        ...

    def close(self) -> None: ...


class Log:
    """What is worth a line, how it is written, and where it goes. `hide` takes secrets out of a text."""

    def __init__(self, level: str, spell: Spell, sink: Sink, hide: Callable[[str], str]) -> None:
        self.least = LEVELS[level]
        self.is_for_people = spell is as_words
        self.sink = sink
        self._spell = spell
        self._hide = hide

    def tell(self, line: Line) -> None:
        self.sink.write(self._spell(line))

    def clean(self, text: str, longest: int = LONGEST) -> str:
        """A text from outside, fit for a line. Secrets go before it is cut: half of one would not be found. What is far
        behind the cut is left out first, as the search through megabytes would keep everybody waiting.
        """
        return visible(self._hide(text[:SEARCHED]), longest)


# --- how it looks ----------------------------------------------------------------------------------------------------


def as_json(line: Line) -> bytes:
    return _encode(line) + b"\n"


def as_words(line: Line) -> bytes:
    """For people: when, how bad, what, the fields by name, and last the message."""
    said = msgspec.to_builtins(line)
    message, trace = said.pop("message", ""), said.pop("exception", "")
    start = [said.pop("time"), said.pop("level").upper().ljust(7), said.pop("event")]
    fields = [f"{name}={_word(value)}" for name, value in _flat(said)]
    lines = [" ".join([*start, *fields, *([message] if message else [])])]
    lines += [f"    | {row}" for row in trace.split("\\n") if row]
    return ("\n".join(lines) + "\n").encode()


def _flat(said: dict[str, Any]) -> list[tuple[str, Any]]:
    """`tokens: {input: 5}` is `tokens.input=5`."""
    flat: list[tuple[str, Any]] = []
    for name, value in said.items():
        flat += [(f"{name}.{key}", item) for key, item in value.items()] if isinstance(value, dict) else [(name, value)]
    return flat


def _word(value: Any) -> str:
    text = ",".join(value) if isinstance(value, list) else str(value)
    return text if _plain(text) else _encode(text).decode()


def visible(text: str, longest: int = LONGEST) -> str:
    """Cut to length, and what is not printable (a line end, a terminal's escape, half a character) escaped."""
    if len(text) > longest:
        text = f"{text[:longest]}[{len(text) - longest} more]"
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() else char.encode("unicode_escape").decode() for char in text])


class _Clock:
    """The time; its text is made once for all lines of a second."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = (0, "")  # one value, because several threads log

    def stamp(self, now: float) -> str:
        second, spelled = self._last
        if second != int(now):
            second = int(now)
            spelled = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
            self._last = (second, spelled)
        return spelled + _MILLISECONDS[int((now - second) * 1000)]


_clock = _Clock()


def stamp() -> str:
    """Now."""
    return _clock.stamp(time())


# --- where it goes ---------------------------------------------------------------------------------------------------


class Handler(logging.Handler):
    """Turns the standard library's log records into our lines. `extra` may hold `event`, and other fields of Note."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log.tell(self._note(record))
        except Exception:  # the standard library would write the record's arguments to standard error
            self._log.tell(Note(time=stamp(), level="error", event="log", logger=record.name, message="(unreadable)"))

    def _note(self, record: logging.LogRecord) -> Note:
        said = vars(record)
        trace = "".join(format_exception(*record.exc_info)) if record.exc_info else ""
        event = said.get("event", "log")
        return Note(
            time=_clock.stamp(record.created),
            level="error" if record.levelno > logging.ERROR else record.levelname.lower(),
            event=event,
            logger="" if record.name == "pillion" else record.name,
            message=self._log.clean(record.getMessage(), LONGEST_MISTAKE if event in _MISTAKES else LONGEST),
            exception=self._log.clean(trace, LONGEST_TRACE),
            **{name: said[name] for name in said.keys() & _EXTRA},
        )


# --- how it begins ---------------------------------------------------------------------------------------------------


def start(wish: Wish, hide: Redaction) -> Log:
    """Write everything that is logged in this process to standard error. The caller closes its sink."""
    descriptor = sys.stderr.fileno()
    spell = as_words if _is_for_people(wish.format) else as_json
    log = Log(wish.level, spell, Writer(descriptor, lambda count: spell(_lost(count))), hide)
    logging.basicConfig(handlers=[Handler(log)], force=True)
    change_level(log, wish.level)
    logging.captureWarnings(True)
    return log


def change_level(log: Log, level: str) -> None:
    """Log from this level on."""
    log.least = LEVELS[level]
    logging.getLogger().setLevel(max(log.least, logging.WARNING))
    logging.getLogger("pillion").setLevel(log.least)


def complain(problems: Iterable[str], form: str) -> None:
    """Why we do not start, a line each, written at once: the log does not run yet, or any more.

    `form`: the log's format, as Log.format; people get the same lines from every command.
    """
    for text in problems:
        note = Note(time=stamp(), level="error", event="failed", message=visible(text, LONGEST_MISTAKE))
        line = f"pillion: {text}" if _is_for_people(form) else _encode(note).decode()
        with suppress(OSError):
            print(line, file=sys.stderr)


def _is_for_people(form: str) -> bool:
    return form == "human" or (form != "json" and sys.stderr.isatty())


def _lost(count: int) -> Note:
    message = f"{count} log lines were lost, because they were not read in time"
    return Note(time=stamp(), level="warning", event="log_lost", message=message)


class _Nowhere:
    lost = 0

    def write(self, line: bytes) -> None:
        pass

    def close(self) -> None:
        pass


SILENT = Log("error", as_json, _Nowhere(), str)
