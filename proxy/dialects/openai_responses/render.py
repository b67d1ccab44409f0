"""How is an answer sent to a client of the Responses API?

Events in, bytes out: a stream as the events come, or the whole response at Finish.
https://platform.openai.com/docs/api-reference/responses-streaming

Each block is an item of its own, so that interleaved blocks are interleaved on the wire as well. The content of a block
goes out three times: in deltas, when it is done, and in the response that ends the stream. The head of a delta's event
does not change, and is encoded once, when the block opens.

An answer that hits its token limit stops within its last item, but only Finish says so. So an item is not done before
the next one begins, or the answer ends.
"""

from collections.abc import Callable, Iterator
from typing import assert_never

from msgspec import Raw, Struct, field

from proxy.canon import (
    Audio,
    Close,
    Completion,
    Delta,
    Document,
    Event,
    Finish,
    Image,
    Opaque,
    Open,
    Part,
    Refusal,
    Request,
    Start,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    Video,
    fold,
)
from proxy.dialects.openai_responses.citations import spelled
from proxy.dialects.openai_responses.faults import failure
from proxy.dialects.openai_responses.items import Names, content_of, item_of, seal_of, shell_of
from proxy.dialects.openai_responses.namespaces import spaces, told_apart
from proxy.dialects.openai_responses.response import NOTHING, begun, ended, status_of
from proxy.errors import GatewayError
from proxy.framing import sse
from proxy.grammar import whole
from proxy.grammar.fields import Object, dump, encode_json
from proxy.grammar.gathering import Gathered
from proxy.grammar.single import check_choice, only


class _Item(Struct):
    """An item on its way to the client."""

    place: Object  # its id, its output_index, and the index of the part that its events are about
    value: Object  # the item as it began
    shell: Open
    number: int
    said: Gathered = field(default_factory=Gathered)
    head: bytes = b""  # of each delta's event, up to its text
    thinks: bool = False  # a summary has begun


class StreamRenderer:
    media_type = "text/event-stream"

    def __init__(self, request: Request, clock: Callable[[], float]) -> None:
        self._request = request
        self._spaces = spaces(request.tools)
        self._clock = clock
        self._response = NOTHING
        self._names = Names("")
        self._sent = 0  # number of events sent
        self._open: dict[int, _Item] = {}  # by the index of the block
        self._output: dict[int, Object] = {}  # the items that are done, by output_index
        self._items = 0  # begun so far
        self._last = 0  # output_index of the item that began last
        self._waiting: Part | None = None  # the part of that item, once it is closed and before it is done
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        match event:
            case Delta():
                return self._delta(event)
            case Start():
                return self._start(event)
            case Open():
                return self._begin(event)
            case Close():
                return self._close(self._open.pop(event.index), event)
            case Usage():
                self._usage = event
                return b""
            case Finish():
                return self._finish(event)
            case _:
                assert_never(event)

    def error(self, error: GatewayError) -> bytes:
        done = self._settle()
        return done + failure(error, self._response, self._sent)

    def _start(self, start: Start) -> bytes:
        self._response = begun(start, self._request, self._clock)
        self._names = Names(self._response["id"])
        response = Raw(dump(self._response))
        created = self._frame("response.created", response=response)
        return created + self._frame("response.in_progress", response=response)

    def _finish(self, event: Finish) -> bytes:
        stop = only(event.stops)
        done = self._settle(status_of(stop))
        output = [self._output[number] for number in sorted(self._output)]
        response = ended(self._response, output, stop, self._usage, int(self._clock()), event.moderation)
        return done + self._frame(f"response.{response['status']}", response=response)

    def _frame(self, kind: str, **fields: object) -> bytes:
        self._sent += 1
        return sse(dump({"type": kind, "sequence_number": self._sent - 1, **fields}), kind)

    # items

    def _begin(self, event: Open) -> bytes:
        check_choice(event)
        done = self._settle()
        number = self._last = self._items
        self._items += 1
        event = Open(index=event.index, part=told_apart(event.part, self._spaces), choice=event.choice)
        value = shell_of(event.part, self._names, number)
        item = _Item({"item_id": value.get("id", ""), "output_index": number}, value, event, number)
        self._open[event.index] = item
        added = done + self._frame("response.output_item.added", output_index=number, item=value)
        if isinstance(event.part, Text | Refusal):
            item.place["content_index"] = 0
            added += self._frame("response.content_part.added", **item.place, part=content_of(event.part))
        elif isinstance(event.part, Thinking):
            item.place["summary_index"] = 0
        if kind := _speaks(event.part):
            opening = encode_json({"type": f"response.{kind}.delta", **item.place})
            item.head = b'event: response.%b.delta\ndata: %b,"delta":' % (kind.encode(), opening[:-1])
        return added

    def _delta(self, event: Delta) -> bytes:
        item = self._open[event.index]
        item.said.add(event)
        part = item.shell.part
        out = b""
        if event.text or (event.logprobs and isinstance(part, Text)):
            if isinstance(part, Thinking) and not item.thinks:
                item.thinks = True
                out = self._frame("response.reasoning_summary_part.added", **item.place, part=_summary(""))
            scores = encode_json(event.logprobs) if event.logprobs else b"[]"
            scored = b',"logprobs":%b' % scores if isinstance(part, Text) else b""
            out += b'%b%b%b,"sequence_number":%d}\n\n' % (item.head, encode_json(event.text), scored, self._sent)
            self._sent += 1
        return out

    def _notes(self, part: Text, item: _Item) -> Iterator[bytes]:
        """The citations of a text, once it is whole: before that its length is not known."""
        for number, annotation in enumerate(spelled(part.citations, len(part.text))):
            place = item.place | {"annotation_index": number}
            yield self._frame("response.output_text.annotation.added", **place, annotation=annotation)

    def _close(self, item: _Item, event: Close) -> bytes:
        part = fold([Start(), item.shell, *item.said.deltas, event, Finish()]).choices[0].parts[0]
        spoken = b"".join(self._spoken(part, item))
        if item.number < self._last:
            return spoken + self._done(part, item.number)
        self._waiting = part
        return spoken

    def _spoken(self, part: Part, item: _Item) -> Iterator[bytes]:
        """What the deltas said, once more as a whole."""
        done = f"response.{_speaks(part)}.done"
        match part:
            case Text():
                yield from self._notes(part, item)
                yield self._frame(done, **item.place, text=part.text, logprobs=part.logprobs)
                yield self._frame("response.content_part.done", **item.place, part=content_of(part))
            case Refusal():
                yield self._frame(done, **item.place, refusal=part.text)
                yield self._frame("response.content_part.done", **item.place, part=content_of(part))
            case Thinking():
                if part.text:
                    yield self._frame(done, **item.place, text=part.text)
                    yield self._frame("response.reasoning_summary_part.done", **item.place, part=_summary(part.text))
            case ToolCall(kind="custom"):
                yield self._frame(done, **item.place, input=part.arguments)
            case ToolCall():
                yield self._frame(done, **item.place, name=part.name, arguments=part.arguments)
            case Opaque() | Image() | Audio() | Video() | Document() | ToolResult():
                pass  # they come whole, with Open
            case _:
                assert_never(part)

    def _settle(self, status: str = "completed") -> bytes:
        """The end of the last item, if its block is closed."""
        part, self._waiting = self._waiting, None
        return b"" if part is None else self._done(part, self._last, status)

    def _done(self, part: Part, number: int, status: str = "completed") -> bytes:
        value = item_of(part, self._names, number, status)
        done = self._tell(value, number)
        if (seal := seal_of(part, value, self._names, self._items)) is None:
            return done
        place, self._items = self._items, self._items + 1
        return done + self._frame("response.output_item.added", output_index=place, item=seal) + self._tell(seal, place)

    def _tell(self, value: Object, number: int) -> bytes:
        self._output[number] = value
        return self._frame("response.output_item.done", output_index=number, item=value)


class WholeRenderer(whole.Renderer):
    def __init__(self, request: Request, clock: Callable[[], float]) -> None:
        super().__init__()
        self._request = request
        self._clock = clock

    def spell(self, completion: Completion) -> bytes:
        choice = only(completion.choices)
        head = begun(completion.start, self._request, self._clock)
        names, output = Names(head["id"]), list[Object]()
        last, known = len(choice.parts) - 1, spaces(self._request.tools)
        for place, part in enumerate(told_apart(part, known) for part in choice.parts):
            status = status_of(choice.stop) if place == last else "completed"
            output.append(item_of(part, names, len(output), status))
            if (seal := seal_of(part, output[-1], names, len(output))) is not None:
                output.append(seal)
        now = int(self._clock())
        return dump(ended(head, output, choice.stop, completion.usage, now, completion.moderation))


_SPOKEN: dict[type[Part], str] = {Text: "output_text", Refusal: "refusal", Thinking: "reasoning_summary_text"}


def _speaks(part: Part) -> str:
    """What the events of a stream call the text of such a part; "" if it has none."""
    if isinstance(part, ToolCall):
        return "custom_tool_call_input" if part.kind == "custom" else "function_call_arguments"
    return _SPOKEN.get(type(part), "")


def _summary(text: str) -> Object:
    return {"type": "summary_text", "text": text}
