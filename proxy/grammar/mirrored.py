"""What of a provider's message is only what the client has said?

Some providers put the request, or a piece of it, into their errors. Its client may read that, but the log may not.
"""

import re
from collections.abc import Iterator, Sequence

from proxy.grammar.fields import UNREADABLE, decode_json

WORDS, LONG = 4, 24  # so many words in a row, or bytes of them, are a piece of the request, and no coincidence
HIDDEN = "[of the request]"
SEARCHED = 256 * 1024  # bytes of the request, and of the message a part that no log line exceeds
LONGEST = 1000

_word = re.compile(r'[^\s"\\]+')
_between = re.compile(r'(?:\\[nrt"\\]|[\s"\\])+')  # words, in JSON and out of it


def unmirrored(message: str, body: bytes, names: Sequence[str] = ()) -> str:
    """The message without what stands in the request's body as well. `names`: of its model, which may be told."""
    message = message[:LONGEST]
    said, words = _said(body[:SEARCHED]), list(_word.finditer(message))
    out, at, done = [], 0, 0
    while at < len(words):
        count, stop = _run(words[at:], said)
        run = message[words[at].start() : stop]
        if _is_piece(count, run) and not any(run in name for name in names):
            out += [message[done : words[at].start()], HIDDEN]
            done, at = stop, at + count
        else:
            at += 1
    return "".join([*out, message[done:]])


def _is_piece(count: int, run: str) -> bool:
    return count >= WORDS or len(run.encode("utf-8", "replace")) >= LONG


def _run(words: Sequence[re.Match[str]], said: str) -> tuple[int, int]:
    """How many of these words stand in what was said, one after the other, and where in the message they end.

    What follows the last one may hang on to it: `Doe.` and `Doe.: no such name`.
    """
    run, count, stop = "", 0, 0
    for word in words:
        if f"{run}{word[0]}" not in said:
            part = next((n for n in range(len(word[0]) - 1, 0, -1) if f"{run}{word[0][:n]}" in said), 0)
            return count, word.start() + part if run and part else stop
        run, count, stop = f"{run}{word[0]} ", count + 1, word.end()
    return count, stop


def _said(body: bytes) -> str:
    """All of the request, as it was sent and as it is read, with one space between any two words."""
    try:
        texts = "\n".join(_texts(decode_json(body)))
    except UNREADABLE:
        texts = ""
    return _between.sub(" ", f"{texts}\n{body.decode('utf-8', 'replace')}")


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from _texts(one)
        case dict():
            for one in value.values():
                yield from _texts(one)
        case _:
            pass
