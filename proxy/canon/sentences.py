"""Is it a grammatical sentence, and what answer does it add up to?"""

from collections.abc import Iterable, Iterator
from typing import assert_never

from msgspec.structs import replace

from proxy.canon.events import Choice, Close, Completion, Delta, Event, Finish, Open, Start, Usage
from proxy.canon.parts import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)


class Ungrammatical(ValueError):
    """The events are no sentence. A decoder never raises this: it raises UpstreamError first."""


def fold(events: Iterable[Event]) -> Completion:
    """Sum a sentence into the whole answer that it spells. Whether it is one, `grammatical` checks."""
    start: Start | None = None
    usage: Usage | None = None
    blocks: dict[int, tuple[int, Part, list[Delta]]] = {}
    finish: Finish | None = None
    for event in events:  # no `match`: it asks up to six times for the class, which is slow with a Struct
        if type(event) is Delta:
            blocks[event.index][2].append(event)
        elif type(event) is Open:
            blocks[event.index] = (event.choice, event.part, [])
        elif type(event) is Start:
            start = event
        elif type(event) is Usage:
            usage = event
        elif type(event) is Finish:
            finish = event
    if start is None or finish is None:
        raise Ungrammatical("the sentence has no beginning, or no end")
    choices = [Choice(parts=[], stop=stop) for stop in finish.stops]
    for choice, part, deltas in blocks.values():
        choices[choice].parts.append(_sum(part, deltas))
    return Completion(start=start, choices=choices, usage=usage, moderation=finish.moderation)


def unfold(completion: Completion) -> Iterator[Event]:
    """Say a whole answer as a sentence: each part one block, each block's text one delta."""
    yield completion.start
    index = 0
    for number, choice in enumerate(completion.choices):
        for part in choice.parts:
            shell, delta = _split(part, index)
            yield Open(index=index, part=shell, choice=number)
            if delta is not None:
                yield delta
            yield Close(index=index)
            index += 1
    if completion.usage is not None:
        yield completion.usage
    yield Finish(stops=tuple(choice.stop for choice in completion.choices), moderation=completion.moderation)


def grammatical(events: Iterable[Event]) -> Iterator[Event]:
    """Pass the events on, and raise Ungrammatical at the first that breaks the sentence, or at a missing end."""
    started = finished = False
    seen: set[int] = set()
    opened: set[int] = set()
    choices = 0
    for event in events:
        if finished or started == isinstance(event, Start):
            raise Ungrammatical(f"{type(event).__name__} is out of place")
        match event:
            case Start():
                started = True
            case Open(index=index):
                if index in seen or event.choice < 0:
                    raise Ungrammatical(f"block {index} opens twice, or for no choice")
                seen.add(index)
                opened.add(index)
                choices = max(choices, event.choice + 1)
            case Delta(index=index) | Close(index=index):
                if index not in opened:
                    raise Ungrammatical(f"{type(event).__name__} of block {index}, which is not open")
                if isinstance(event, Close):
                    opened.remove(index)
            case Usage():
                pass
            case Finish():
                if opened or len(event.stops) < choices:
                    raise Ungrammatical("Finish before every block is closed and every choice has its stop")
                finished = True
            case _:
                assert_never(event)
        yield event
    if not finished:
        raise Ungrammatical("the sentence has no Finish")


def _sum(part: Part, deltas: list[Delta]) -> Part:
    """The part that a shell and its deltas spell."""
    if not deltas:
        return part
    text = "".join([delta.text for delta in deltas])
    if type(part) is Text and all(delta.is_text for delta in deltas):
        return replace(part, text=part.text + text)  # as nearly always
    signature = "".join([delta.signature for delta in deltas])
    match part:
        case Text():
            return replace(
                part,
                text=part.text + text,
                signature=part.signature + signature,
                citations=part.citations + [one for delta in deltas for one in delta.citations],
                logprobs=part.logprobs + [entry for delta in deltas for entry in delta.logprobs],
            )
        case Thinking():
            return replace(part, text=part.text + text, signature=part.signature + signature)
        case Refusal():
            logprobs = [entry for delta in deltas for entry in delta.logprobs]
            extra = {**part.extra, "logprobs": logprobs} if logprobs else part.extra
            return replace(part, text=part.text + text, extra=extra)
        case ToolCall():
            return replace(part, arguments=part.arguments + text, signature=part.signature + signature)
        case Audio():
            had = part.source if isinstance(part.source, Inline) else Inline(data="")
            transcript = part.transcript + "".join(delta.transcript for delta in deltas)
            return replace(part, source=replace(had, data=had.data + text), transcript=transcript)
        case Image() | Video() | Document() | ToolResult() | Opaque():
            raise Ungrammatical(f"{type(part).__name__} does not stream")
        case _:
            assert_never(part)


def _split(part: Part, index: int) -> tuple[Part, Delta | None]:
    """A part's shell and the one delta that fills it; None where the shell is already the whole."""
    match part:
        case Text():
            delta = Delta(
                index=index,
                text=part.text,
                signature=part.signature,
                logprobs=part.logprobs,
                citations=part.citations,
            )
            shell: Part = replace(part, text="", signature="", logprobs=[], citations=[])
        case Thinking():
            delta = Delta(index=index, text=part.text, signature=part.signature)
            shell = replace(part, text="", signature="")
        case Refusal():
            delta, shell = Delta(index=index, text=part.text), replace(part, text="")
        case ToolCall():
            delta = Delta(index=index, text=part.arguments, signature=part.signature)
            shell = replace(part, arguments="", signature="")
        case Audio(source=Inline()) if isinstance(part.source, Inline):
            delta = Delta(index=index, text=part.source.data, transcript=part.transcript)
            shell = replace(part, source=replace(part.source, data=""), transcript="")
        case Audio() | Image() | Video() | Document() | ToolResult() | Opaque():
            return part, None
        case _:
            assert_never(part)
    return shell, None if delta == Delta(index=index) else delta
