"""What does a host refuse, by its own words, that a wire's other hosts take; and is it asked again without that?

Hosts that speak one wire differ in what they take beside the messages. Mistral refuses `user`, Cerebras `store`, most
of xAI's models an effort, and Azure `max_tokens` if the model that thinks is deployed as `prod`. A client of another
wire cannot know that, and no list of hosts and models keeps up with it. But the refusal comes at once, costs nothing,
and names what it is about. So that is left out like any knob that a wire lacks, with a receipt, and the request is sent
again; or it is said in the way that the host asks for. It is remembered for an hour, by model.

Content, tools and the answer's shape are never left out. A client that has named this host, and speaks its wire, gets
the host's own words, but where it says `developer`: many hosts know only `system`, which means the same. Nor where it
brings back the thoughts of earlier answers: it has them from us, perhaps, who tell it what any model has thought. Nor
does it hear that a stream cannot be asked for its usage, if it is we who have asked. But no client has named what
stands behind an alias, the operator's `upstream` or a route, or stands in for another target, and so none can know what
that takes.
"""

import logging
import time
from collections.abc import Iterable

from msgspec.structs import replace

from proxy.canon import Request, ToolChoice, Turn, Way
from proxy.errors import UpstreamError
from proxy.lanes.lessons import LIMITS, USAGE, Knob, Lesson, known_by, lessons_in, spelt_in, told, value_in

log = logging.getLogger("pillion")

LIFE = 3600.0  # seconds
REMEMBERED = 256  # models; clients choose their names
LESSONS = 64  # of a model; clients choose values, too

# What is said in another way on the host's own wire as well, by the words in a body that may need it.
_OWN: dict[Way, tuple[bytes, ...]] = {
    "system": (b'"developer"',),
    "thoughtless": (b'"reasoning_content"', b'"reasoning_details"'),
}
_REASONING = ("reasoning", "thinking")
_Place = tuple[str, str, str]  # provider, model, wire


class Heeding:
    """What hosts have refused in the last hour, and what becomes of requests because of that."""

    def __init__(self) -> None:
        self.lessons: dict[_Place, dict[Lesson, float]] = {}  # and until when each is believed

    def fit(self, request: Request, provider: str, wire: str, meant: bool = False) -> list[str]:
        """Make it one that the host takes, as far as that is known; the receipt.

        `meant`: it came on this wire, for this host. Then it only gets the host's name for the developer, as that says
        the same, loses the thoughts of earlier answers, and is not asked for its usage by us.
        """
        if not (lessons := self.lessons.get((provider, request.model, wire))):
            return []  # nearly always
        now = time.monotonic()
        learnt = [lesson for lesson, until in lessons.items() if until > now]
        if "system" in learnt:
            request.turns = list(map(_by_the_system, request.turns))
        if meant:
            learnt = [lesson for lesson in learnt if _is_ours(request, lesson)]
        request.ways = frozenset(lesson for lesson in learnt if isinstance(lesson, str))
        return [name for lesson in learnt if isinstance(lesson, Knob) for name in _left_out(request, lesson)]

    def heard(self, error: UpstreamError, request: Request, provider: str, wire: str, meant: bool = False) -> bool:
        """Is there something new in this refusal, so that the request may be sent again? It is what was sent. `meant`:
        as of `fit`.
        """
        if error.upstream_status not in (400, 422):
            return False
        new = [lesson for lesson in lessons_in(error.message, request) if _says(request, lesson)]
        if meant:
            new = [lesson for lesson in new if _is_ours(request, lesson)]
        if not new:
            return False
        place = provider, request.model, wire
        if place not in self.lessons and len(self.lessons) >= REMEMBERED:
            self.lessons.clear()
        lessons = self.lessons.setdefault(place, {})
        lessons.update(dict.fromkeys(new, time.monotonic() + LIFE))
        for oldest in list(lessons)[:-LESSONS]:
            del lessons[oldest]
        log.info(
            "%s refused a request for %s because of %s: it is asked again without that, and so are others for an hour",
            provider, request.model, ", ".join(sorted(map(told, set(new)))),
            extra={"event": "heeded"},
        )  # fmt: skip
        return True

    def wants_change(self, provider: str, model: str, wire: str, body: bytes, meant: bool) -> bool:
        """Is there something in this body, on the host's own wire, that it is known to refuse? Where the client has
        `meant` this host, that may be a developer or a thought, and else anything.
        """
        lessons = self.lessons.get((provider, model, wire))
        if lessons is None:
            return False
        now = time.monotonic()
        if not meant:
            return any(until > now and _may_say(body, lesson) for lesson, until in lessons.items())
        return any(lessons.get(way, 0.0) > now and _has_one(words, body) for way, words in _OWN.items())

    def minds(self, error: UpstreamError, provider: str, model: str, wire: str, body: bytes) -> bool:
        """Does it refuse the developer in this body, or a thought, so that the request may be sent without?"""
        asked = Request(wire=wire, model=model, turns=[])
        said = set(lessons_in(error.message, asked))
        is_meant = any(way in said and _has_one(words, body) for way, words in _OWN.items())
        return is_meant and self.heard(error, asked, provider, wire)

    def asks_usage(self, provider: str, model: str, wire: str) -> bool:
        """May a stream that passes through be asked for its usage, as far as is known?"""
        lessons = self.lessons.get((provider, model, wire))
        return lessons is None or lessons.get(USAGE, 0.0) <= time.monotonic()

    def minds_usage(self, error: UpstreamError, provider: str, model: str, wire: str) -> bool:
        """Does it refuse to be asked for the usage? We ask for that: the client has not said it."""
        asked = Request(wire=wire, model=model, turns=[], stream=True)
        return USAGE in lessons_in(error.message, asked) and self.heard(error, asked, provider, wire)


def _has_one(words: Iterable[bytes], body: bytes) -> bool:
    return any(word in body for word in words)


def _may_say(body: bytes, lesson: Lesson) -> bool:
    if isinstance(lesson, Knob):
        return spelt_in(body, lesson.field)
    if lesson in LIMITS:  # it is the name that the host wants; what it refuses is the other one
        return _has_one([f'"{name}"'.encode() for name in LIMITS - {lesson}], body)
    return lesson not in _OWN or _has_one(_OWN[lesson], body)


def _says(request: Request, lesson: Lesson) -> bool:
    """Does the request, as it was sent, still say that, so that it may say less?"""
    if not isinstance(lesson, Knob):
        return lesson not in request.ways and not (lesson in LIMITS and request.ways & LIMITS)
    return value_in(request, lesson.field) is not None


def _is_ours(request: Request, lesson: Lesson) -> bool:
    """May that be heeded even where the request came on the host's own wire?"""
    if lesson == "system":
        return any(turn.role == "developer" for turn in request.turns)
    return lesson == "thoughtless" or (lesson == USAGE and not request.include_usage)


def _by_the_system(turn: Turn) -> Turn:
    return replace(turn, role="system") if turn.role == "developer" else turn


def _left_out(request: Request, knob: Knob) -> list[str]:
    """Take it out of the request; the receipt."""
    field, value = knob.field, value_in(request, knob.field)
    if value is None or knob.value not in (None, known_by(value)):
        return []
    match field:
        case "ask_usage":
            request.ask_usage = False
            return []
        case "tool.strict":
            request.tools = [replace(tool, strict=None) for tool in request.tools]
        case "logprobs" if request.top_logprobs is not None:  # which has no meaning without
            request.logprobs = request.top_logprobs = None
            return [request.name_of("logprobs"), request.name_of("top_logprobs")]
        case "reasoning":  # with what only its own wire says of it
            request.reasoning = None
            request.extra = {key: value for key, value in request.extra.items() if key not in _REASONING}
        case _:
            setattr(request, field, None)
    is_operators = field == "temperature" and request.hinted
    is_default = value == ToolChoice("auto")
    return [] if is_operators or is_default else [request.name_of(field)]
