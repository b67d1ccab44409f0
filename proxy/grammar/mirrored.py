"""What of a provider's message is only what the client has said?

Some providers put the request, or a piece of it, into their errors. Its client may read that, but the log may not.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from proxy.grammar.fields import UNREADABLE, decode_json

WORDS, LONG = 4, 24  # so many words in a row, or bytes of them, are a piece of the request, and no coincidence
HIDDEN = "[of the request]"
SEARCHED = 32 * 1024  # bytes at either end of the request: it waits on the loop
LONGEST = 600  # characters of the message; the log has 500

_word = re.compile(r'[^\s"\\]+')
_code = re.compile(r"\\u([0-9a-fA-F]{4})")
_ESCAPES = ("\\\\", "\\n", "\\r", "\\t")


def unmirrored(message: str, body: bytes, names: Sequence[str] = ()) -> str:
    """The message without what stands in the request's body as well. `names`: of its model, which may be told."""
    message = message[:LONGEST]
    said, words = _said(body), list(_word.finditer(message))
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
            return count, word.start() + _beginning(run, word[0], said) if run else stop
        run, count, stop = f"{run}{word[0]} ", count + 1, word.end()
    return count, stop


def _beginning(run: str, word: str, said: str) -> int:
    """How many characters of the word stand behind the run."""
    return bisect_left(range(1, len(word)), True, key=lambda count: f"{run}{word[:count]}" not in said)


def _said(body: bytes) -> str:
    """The request, as it was sent and, unless it is long, as it is read, with one space between any two words."""
    if len(body) > 2 * SEARCHED:
        body = body[:SEARCHED] + b"\n" + body[-SEARCHED:]
    try:
        texts = "\n".join(_texts(decode_json(body)))
    except UNREADABLE:
        texts = ""
    sent = _code.sub(lambda found: chr(int(found[1], 16)), body.decode("utf-8", "replace"))
    for mark in _ESCAPES:
        sent = sent.replace(mark, " ")
    return " ".join(f"{texts} {sent}".replace("\\", " ").replace('"', " ").split())


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
