"""Which string does this regular expression match?

One that takes the first branch everywhere, and repeats as little as is allowed, but once for `*` and `{0,9}`. It reads
what JavaScript's and Python's syntax have in common, as JSON Schema advises for `pattern`
(https://json-schema.org/draft/2020-12/json-schema-core, 6.4): no look-around, no back-references.

The pattern comes from a client, so it is never run as a whole: matching a hostile one could take for ever.
"""

import re
import string
import warnings

LONGEST = 100_000  # characters

_LETTERS = string.ascii_letters + string.digits + string.punctuation + string.whitespace
_OTHER = "\u00e9"  # for a class that leaves out all of ASCII
_is_half_a_pair = re.compile("[\ud800-\udfff]").match
_GROUP = re.compile(r"\((?!\?)|\(\?(?::|P?<[A-Za-z_]\w*>)")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:[dDwWsStnrfv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^0-9A-Za-z])")
_CODE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))")
_TIMES = re.compile(r"(?:([*+?])|\{([0-9]{1,6})(?:(,)([0-9]{0,6}))?\})[?+]?")


class Unreadable(ValueError):
    """The pattern is malformed, or uses syntax that is not supported here."""


def sample(pattern: str) -> str:
    """A string that `pattern` matches. Raises Unreadable; RecursionError where its groups are nested too deeply."""
    return _Reader(pattern).read()


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def read(self) -> str:
        text = self._branches()
        if self._at < len(self._pattern):
            raise self._unreadable()
        return text

    def _branches(self) -> str:
        first = self._branch()
        while self._take("|"):
            self._branch()
        return first

    def _branch(self) -> str:
        out = ""
        while self._pattern[self._at : self._at + 1] not in ("", "|", ")"):
            atom = self._atom()
            times = self._times()
            if len(out) + len(atom) * times > LONGEST:
                raise self._unreadable()
            out += atom * times
        return out

    def _atom(self) -> str:
        match self._pattern[self._at]:
            case "(":
                return self._group()
            case "[":
                return self._one_of(_CLASS)
            case "\\":
                return "" if self._take("\\b") else self._one_of(_ESCAPE)
            case "*" | "+" | "?":
                raise self._unreadable()
            case letter:
                self._at += 1
                return {".": "e", "^": "", "$": ""}.get(letter, letter)

    def _group(self) -> str:
        self._at += len(self._spelt(_GROUP))
        text = self._branches()
        if not self._take(")"):
            raise self._unreadable()
        return text

    def _one_of(self, spelling: re.Pattern[str]) -> str:
        """A character that a class or an escape matches: an ASCII one, one that it names, or any other."""
        text = self._spelt(spelling)
        self._at += len(text)
        try:
            with warnings.catch_warnings(action="error"):  # about classes that later Pythons may read as sets
                stands_for = re.compile(text).fullmatch
        except (re.error, FutureWarning):
            raise self._unreadable() from None
        named = "".join(chr(int(short or long, 16)) for short, long in _CODE.findall(text))
        for letter in _LETTERS + text + named + _OTHER:
            if stands_for(letter) and not _is_half_a_pair(letter):
                return letter
        raise self._unreadable()

    def _times(self) -> int:
        found = _TIMES.match(self._pattern, self._at)
        if found is None:
            return 1
        self._at = found.end()
        sign, least, comma, most = found.groups()
        if sign is not None:
            return 0 if sign == "?" else 1
        return max(int(least), 1 if comma and most != "0" else 0)

    def _spelt(self, spelling: re.Pattern[str]) -> str:
        found = spelling.match(self._pattern, self._at)
        if found is None:
            raise self._unreadable()
        return found[0]

    def _take(self, text: str) -> bool:
        taken = self._pattern.startswith(text, self._at)
        self._at += len(text) if taken else 0
        return taken

    def _unreadable(self) -> Unreadable:
        return Unreadable(f"echo does not support the pattern `{self._pattern:.100}`")
