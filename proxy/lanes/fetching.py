"""Which URLs in a request will its provider not fetch, and may we?

Some wires take images only as bytes, and some hosts fetch nothing although their wire can say a URL. Where the operator
has switched it on, the bytes are fetched here and put in the URL's place before the request is encoded. The turns that
came are not changed, as the vault knows a conversation by what the client said.
"""

import asyncio
import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from mimetypes import guess_type
from typing import NamedTuple, TypeGuard

from msgspec.structs import replace

from proxy.canon import Audio, Document, Image, Inline, Part, Remote, Request, Source, ToolResult, Video
from proxy.edge.remote import Fetcher, Found, NotFetched
from proxy.errors import BadRequest, Unrepresentable
from proxy.grammar.filetypes import media_type_of
from proxy.ports import Call, Dialect, Target
from proxy.wishes import in_time

AT_ONCE = 8  # for one request
MOST = 20  # URLs of one request
EACH = 20 * 1024 * 1024  # bytes
TOTAL = 64 * 1024 * 1024  # bytes of one request
SECONDS = 10.0  # for all of one request

Medium = Image | Audio | Video | Document
MEDIA: frozenset[type] = frozenset({Image, Audio, Video, Document})

_of_the_web = re.compile("https?:", re.IGNORECASE).match

_UNTOLD = ("", "application/octet-stream", "binary/octet-stream")  # what a host says where it does not know
_KINDS = {
    Image: ("an image (PNG, JPEG, GIF or WebP)", re.compile("image/(?:png|jpeg|gif|webp)")),
    Audio: ("audio", re.compile(r"audio/[\w.+-]+", re.ASCII)),
    Video: ("a video", re.compile(r"video/[\w.+-]+", re.ASCII)),
    Document: ("a document", re.compile(r"(?:application|text)/[\w.+-]+", re.ASCII)),
}


class _Place(NamedTuple):
    at: str  # the field's path
    medium: Medium
    source: Remote


class Fetching:
    """`fetcher`: None where the operator has not switched it on."""

    def __init__(self, fetcher: Fetcher | None) -> None:
        self._fetcher = fetcher

    async def __call__(self, call: Call, request: Request, target: Target, dialect: Dialect) -> None:
        """Put bytes in the place of URLs that this provider does not fetch. `dialect`: its own.

        Raises BadRequest; GatewayError, 504, where the client's time is over first.
        """
        if self._fetcher is None or not (kinds := _as_bytes(request, target, dialect)):
            return
        if places := list(_places(request, kinds)):
            found = await call.timed(in_time(call, _fetched(places, self._fetcher)))
            request.turns = [replace(turn, parts=_filled(turn.parts, found)) for turn in request.turns]

    def advise(self, error: Unrepresentable, request: Request, target: Target, dialect: Dialect) -> None:
        """Where the provider's wire refuses a URL, say that we could have fetched it."""
        places = _places(request, _as_bytes(request, target, dialect)) if self._fetcher is None else ()
        if any(place.at == error.param or place.at.startswith(f"{error.param}.") for place in places):
            error.message += " If the operator sets `fetch_images: true`, pillion fetches the URL and sends the bytes."


def _as_bytes(request: Request, target: Target, dialect: Dialect) -> frozenset[type]:
    """The media that this provider takes only as bytes; none where the client speaks its wire, and must know itself."""
    if dialect.name == request.wire:
        return frozenset()
    return MEDIA if dialect.name in target.adapter.no_urls else dialect.no_urls


def _places(request: Request, kinds: frozenset[type]) -> Iterator[_Place]:
    for turn in request.turns:
        for part in turn.parts:
            for one in part.parts if isinstance(part, ToolResult) else [part]:
                if type(one) in kinds and isinstance(one, Medium) and _is_remote(one.source):
                    yield _Place(one.at or turn.at, one, one.source)


def _is_remote(source: Source | None) -> TypeGuard[Remote]:
    """Is it on the web? `s3://` and the like mean something only to their own wires."""
    return isinstance(source, Remote) and _of_the_web(source.url) is not None


async def _fetched(places: list[_Place], fetcher: Fetcher) -> Mapping[int, Inline]:
    """By the `id` of each medium. Raises BadRequest."""
    by_url: dict[str, list[_Place]] = defaultdict(list)
    for place in places:
        by_url[place.source.url].append(place)
    if len(by_url) > MOST:
        one_more = list(by_url.values())[MOST][0]
        raise _refusal(one_more, f"pillion fetches at most {MOST} URLs per request")
    loading = _Loading(fetcher)
    try:
        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
            for same in by_url.values():
                group.create_task(loading.load(same))
    except TimeoutError:
        late = next((place for place in places if id(place.medium) not in loading.found), places[-1])
        raise _refusal(late, f"it did not arrive within {SECONDS:g} s") from None
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return loading.found


class _Loading:
    """What is fetched for one request."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.found: dict[int, Inline] = {}
        self._fetcher = fetcher
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._left = TOTAL

    async def load(self, places: list[_Place]) -> None:
        """`places` are of one URL. Raises BadRequest."""
        try:
            async with self._turn:
                found = await self._fetcher.get(places[0].source.url, EACH)
        except NotFetched as error:
            raise _refusal(places[0], str(error)) from None
        self._left -= len(found.data)
        if self._left < 0:
            raise _refusal(places[0], f"the files of one request together are longer than {TOTAL // 1024**2} MiB")
        data = b64encode(found.data).decode()
        for place in places:
            self.found[id(place.medium)] = Inline(data, _media_type(place, found))


def _media_type(place: _Place, found: Found) -> str:
    """What it is, by the most reliable source that knows. Raises BadRequest where that is not what the client says.

    An image is what its first bytes say: hosts mistake one kind for another, and providers refuse it then.
    """
    noun, is_one = _KINDS[type(place.medium)]
    told = [media_type_of(found.data)]
    if not isinstance(place.medium, Image):
        path = place.source.url.partition("?")[0]
        told += [found.said.partition(";")[0].strip().lower(), place.source.media_type, guess_type(path)[0] or ""]
    media_type = next((each for each in told if each not in _UNTOLD), "")
    if not is_one.fullmatch(media_type):
        raise _refusal(place, f"what was found there is not {noun}")
    return media_type


def _filled(parts: Iterable[Part], found: Mapping[int, Inline]) -> list[Part]:
    filled: list[Part] = []
    for part in parts:
        if isinstance(part, ToolResult):
            filled.append(replace(part, parts=_filled(part.parts, found)))
        elif isinstance(part, Medium) and id(part) in found:
            filled.append(replace(part, source=found[id(part)]))
        else:
            filled.append(part)
    return filled


def _refusal(place: _Place, reason: str) -> BadRequest:
    return BadRequest(f"{place.at} was not fetched: {reason}.", code="not_fetched", param=place.at)
