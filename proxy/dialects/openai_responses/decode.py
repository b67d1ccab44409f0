"""What did a host of the Responses API answer?

Bytes in, events out, as they come. The mirror of render.py; anything that is not an answer raises UpstreamError.

An answer is a list of items, and a stream sends each of them up to three times: in pieces, whole when it is done, and
whole again in the response that ends the stream. The pieces are handed on as they come. Of a repetition only what was
missing so far is handed on. So a host may leave out the pieces, or the items, and a whole answer is read like a stream
that has only its last event.

A response also repeats its request, and says things that the canon has no place for (Azure's filters, xAI's costs
besides the tokens). Only the pass-through lane carries those.
"""

from collections.abc import Iterator

from proxy.canon import Event, Finish, Refusal, Start, Stop, Text, ToolCall
from proxy.dialects.openai_responses.decode_item import Item, Sentence
from proxy.dialects.openai_responses.faults import error_in, fault
from proxy.dialects.openai_responses.moderation import heard
from proxy.dialects.openai_responses.usage import said_usage
from proxy.dialects.openai_responses.words import NAME, REASONS
from proxy.framing import Frame, FrameTooLong, ServerSentEvents
from proxy.grammar import whole
from proxy.grammar.endings import reason_of
from proxy.grammar.fields import (
    Object,
    as_list,
    as_object,
    as_text,
    cut_short,
    decode_json,
    is_number,
    json_of,
    nonsense,
)
from proxy.grammar.halves import Halves


class StreamDecoder:
    def __init__(self) -> None:
        self._frames = ServerSentEvents()
        self._halves = Halves()
        self._answer = _Answer()

    def feed(self, data: bytes) -> Iterator[Event]:
        yield from self._hear(self._frames.feed(data))

    def close(self) -> Iterator[Event]:
        yield from self._hear(self._frames.close())
        if not self._answer.over:
            raise cut_short()

    def _hear(self, frames: Iterator[Frame]) -> Iterator[Event]:
        try:
            for frame in frames:
                data = frame.data.strip()
                if data and data != b"[DONE]" and not self._answer.over:
                    said = self._halves.read(data, decode_json, "it is not valid JSON")
                    yield from self._answer.hear(_object(said))
        except FrameTooLong as error:
            raise nonsense(str(error)) from None


class WholeDecoder(whole.Decoder):
    def read(self, body: bytes) -> Iterator[Event]:
        said = _object(json_of(body))
        if not isinstance(said.get("output"), list):
            raise fault(error_in(said)) if said.get("error") else nonsense("it has no output")
        if said.get("status") in ("queued", "in_progress"):
            raise nonsense("it is not finished")
        yield from _Answer().end(said)


def _object(said: object) -> Object:
    if not isinstance(said, dict):
        raise nonsense("it is not a JSON object")
    return said


class _Answer:
    """What an answer has said so far."""

    def __init__(self) -> None:
        self.over = False
        self._sentence = Sentence()
        self._items: dict[int | str, Item] = {}  # by the wire's output_index, or by id if it has none

    def hear(self, event: Object) -> Iterator[Event]:
        """One more event. Raises UpstreamError."""
        match as_text(event.get("type")):
            case "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" as kind:
                response = as_object(event.get("response"))
                yield from self.end({"status": kind.removeprefix("response."), **response})
            case "error":
                raise fault(error_in(event))
            case "" if event.get("error"):
                raise fault(error_in(event))
            case "response.created" | "response.in_progress" | "response.queued":
                self._start(as_object(event.get("response")))
            case kind:
                self._piece(kind, event)
        yield from self._sentence.said()

    def end(self, response: Object) -> Iterator[Event]:
        """The end of the answer. Raises UpstreamError if it failed or was cancelled."""
        self.over = True
        self._start(response)
        cut = response.get("status") == "incomplete"
        for number, value in enumerate(as_list(response.get("output"))):
            self._known(number, as_object(value)).tell(as_object(value), done=True, cut=cut)
            yield from self._sentence.said()
        for item in self._items.values():
            item.settle(cut)
        yield from self._sentence.said()
        usage = said_usage(
            response.get("usage"),
            response.get("service_tier"),
            as_list(response.get("output")),
            response.get("tool_usage"),
            response.get("tools"),
        )
        if usage is not None:
            yield usage
        if response.get("status") in ("failed", "cancelled"):
            raise fault(response.get("error") or "The provider did not complete the answer.")
        moderation = heard(response["moderation"]) if "moderation" in response else None
        yield Finish(stops=(self._stop(response),), moderation=moderation)

    def _start(self, response: Object) -> None:
        created = response.get("created_at")
        self._sentence.start(
            Start(
                wire=NAME,
                id=as_text(response.get("id")),
                model=as_text(response.get("model")),
                created=int(created) if is_number(created) else None,
            )
        )

    def _piece(self, kind: str, event: Object) -> None:
        match kind:
            case "response.output_item.added" | "response.output_item.done":
                self._item(event).tell(as_object(event.get("item")), done=kind.endswith("done"))
            case "response.output_text.delta":
                scored = as_list(event.get("logprobs"))
                self._item(event).speak(Text, event.get("content_index"), as_text(event.get("delta")), scored)
            case "response.output_text.annotation.added":
                self._item(event).cite(event.get("content_index"), event.get("annotation"))
            case "response.refusal.delta":
                self._item(event).speak(Refusal, event.get("content_index"), as_text(event.get("delta")), [])
            case "response.reasoning_summary_text.delta":
                self._item(event).think("summary", event.get("summary_index"), as_text(event.get("delta")))
            case "response.reasoning_text.delta":
                self._item(event).think("content", event.get("content_index"), as_text(event.get("delta")))
            case "response.function_call_arguments.delta":
                self._item(event).argue("function_call", as_text(event.get("delta")))
            case "response.custom_tool_call_input.delta":
                self._item(event).argue("custom_tool_call", as_text(event.get("delta")))
            case _:
                pass  # progress of a server tool, whose item comes whole; or something that will be repeated

    def _item(self, event: Object) -> Item:
        """The item that an event is about; a new one if the host has not announced it."""
        self._start({})
        place = event.get("output_index")
        name = as_text(event.get("item_id")) or as_text(as_object(event.get("item")).get("id"))
        key = place if isinstance(place, int) else name
        return self._items.setdefault(key, Item(self._sentence, name))

    def _known(self, number: int, value: Object) -> Item:
        """The item that the last response repeats. Its place tells which, since xAI gives several the same id."""
        name = as_text(value.get("id"))
        unplaced = self._items.get(name) if name and number not in self._items else None
        return unplaced or self._items.setdefault(number, Item(self._sentence, name))

    def _stop(self, response: Object) -> Stop:
        status = as_text(response.get("status"))
        if status == "incomplete":
            raw = as_text(as_object(response.get("incomplete_details")).get("reason"))
            return Stop(reason=reason_of(raw, REASONS), raw=raw or status)
        return Stop(reason="tool_use" if ToolCall in self._sentence.kinds else "stop", raw=status)
