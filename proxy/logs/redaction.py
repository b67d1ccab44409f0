"""Does a text hold a secret, in any spelling?

Secrets are looked for by value, where text leaves us, and not by the names of fields, where it comes in: a provider
that refuses a key may repeat it as it was, in base64, as in a URL, or in the middle of a sentence.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, unquote, urlsplit

from proxy.config import Config, Provider, Secret

SHORTEST = 8  # characters; shorter are `EMPTY`, `ollama` and other placeholders, which also stand in plain sentences
HIDDEN = "***"
# What encoders of JSON escape for the sake of HTML: Go's, Gson, and .NET's.
_ODD_IN_HTML = ("&<>", "&<>'=", "&<>'+`")
# As html.escape has it, whose module has a third of a MiB of names for characters.
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


class Redaction:
    """Takes secrets out of texts. Of a secret that changes, both the new value and the one before are looked for."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._current = self._secrets = tuple(secrets)
        self._values: list[str] = []
        self._former: list[str] = []  # the value of each before its last change, which may still be in use somewhere
        self._spellings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Redaction of {len(self._secrets)} secrets>"

    def become(self, secrets: Iterable[Secret]) -> None:
        """Hide these from now on, and still the ones until now, which answers under way may show."""
        before, self._current = self._current, tuple(secrets)
        if self._current == before:
            self._secrets = (*self._current, *self._secrets[len(before) :])
            return
        self._secrets = (*self._current, *before, *map(Secret, self._former[: len(before)]))
        self._values, self._former = [], []

    def __call__(self, text: str) -> str:
        if len(text) < SHORTEST - 2:  # `_base64` may be two characters shorter than the value
            return text
        self._look()
        return self._hidden(text)

    def headers(self, lines: Mapping[str, str]) -> Mapping[str, str]:
        """Headers without secrets in their values. There is nearly never one, so all are looked at together first."""
        self._look()
        if not lines or not any(map("\n".join(lines.values()).__contains__, self._spellings)):
            return lines
        return {name: self._hidden(value) for name, value in lines.items()}

    def _look(self) -> None:
        """Have any of the secrets changed? Then note the new values."""
        values = [secret.reveal() for secret in self._secrets]
        if values == self._values:
            return
        before = zip(values, self._values or values, self._former or values, strict=True)
        self._former = [former if value == last else last for value, last, former in before]
        self._values = values
        known = {value for value in (*values, *self._former) if len(value) >= SHORTEST}
        found = {spelled for value in known for spelled in spellings(value)}
        self._spellings = tuple(sorted(found, key=len, reverse=True))  # one value may be part of another

    def _hidden(self, text: str) -> str:
        for spelled in self._spellings:
            if spelled in text:
                text = text.replace(spelled, HIDDEN)
        return text


def secrets_of(config: Config) -> Iterator[Secret]:
    """All secrets of a configuration."""
    yield config.client_key
    yield config.webhook
    yield from (held.key for held in config.keys)
    yield config.store
    yield Secret(urlsplit(config.store.reveal()).password or "")
    for provider in config.providers.values():
        yield from secrets_of_provider(provider)


def secrets_of_provider(provider: Provider) -> Iterator[Secret]:
    password = urlsplit(provider.proxy.reveal()).password or ""
    keys = (key for key, _ in provider.api_keys)
    said = (provider.api_key, *keys, *provider.headers.values(), provider.proxy)
    yield from (secret for secret in (*said, Secret(password), Secret(unquote(password))) if not secret.is_nothing)


def spellings(value: str) -> Iterator[str]:
    """The ways in which a value may stand in a text."""
    data = value.encode("utf-8", "surrogateescape")
    yield value
    yield (escaped := json.dumps(value)[1:-1])
    yield escaped.replace("/", "\\/")
    for odd in _ODD_IN_HTML:
        for form in ("\\u{:04x}", "\\u{:04X}"):
            yield escaped.translate({ord(char): form.format(ord(char)) for char in odd})
    for safe in ("", "/"):
        yield (quoted := quote(data, safe=safe))
        yield re.sub("%..", lambda found: found[0].lower(), quoted)
    yield value.translate(_HTML)
    for offset in range(3):  # its place in a group of three bytes differs: alone, behind `Bearer ` or behind `user:`
        encoded = _base64(data, offset)
        yield encoded
        yield encoded.translate(_URL_SAFE)
    yield data.hex()
    for form in ("%{:02x}", "\\u{:04x}", "&#x{:x};"):
        spelled = "".join(map(form.format, data))
        yield spelled
        yield _upper(spelled, form)
    yield "".join(map("&#{};".format, data))
    yield data.hex().upper()


_URL_SAFE = str.maketrans("+/", "-_")


def _upper(spelled: str, form: str) -> str:
    """The same with its hexadecimal digits in upper case."""
    mark = form.partition("{")[0]
    return mark.join(part.upper() for part in spelled.split(mark))


def _base64(data: bytes, offset: int) -> str:
    """The characters of its base64 that do not depend on the bytes around it: each has six bits."""
    encoded = b64encode(bytes(offset) + data).decode()
    first = (offset * 8 + 5) // 6
    last = (offset + len(data)) * 8 // 6
    return encoded[first:last]
