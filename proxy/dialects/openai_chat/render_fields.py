"""Which fields do a chunk and a whole completion have in common?"""

from collections.abc import Callable

from proxy.canon import (
    Audio,
    Image,
    Request,
    Start,
    Stop,
    Stored,
)
from proxy.dialects.openai_chat.words import STOP_WORDS
from proxy.grammar.dataurls import url_of
from proxy.grammar.endings import word_for
from proxy.grammar.fields import Object
from proxy.grammar.ids import answer_id


def top_of(start: Start, kind: str, request: Request, clock: Callable[[], float]) -> Object:
    created = int(clock()) if start.created is None else start.created
    name = answer_id(start, request, "chatcmpl-")
    return start.extra | {"id": name, "object": kind, "created": created, "model": start.model or request.model}


def named(part: Audio) -> Object:
    return {"id": part.id} | ({} if part.expires_at is None else {"expires_at": part.expires_at})


def picture(part: Image) -> Object:
    url = part.source.id if isinstance(part.source, Stored) else url_of(part.source)
    return {"type": "image_url", "image_url": {"url": url}}


def offers_functions(request: Request) -> bool:
    """Did the client offer all its tools as `functions`? Then it looks for a `function_call`, and for nothing else."""
    return bool(request.tools) and all(tool.at.startswith("functions[") for tool in request.tools)


def finish_fields(stop: Stop, legacy: bool) -> Object:
    """The finish_reason, and beside it the provider's own word and the stop string, under vLLM's name for it."""
    word = word_for(stop, STOP_WORDS)
    if stop.reason == "tool_use" and (legacy or stop.raw == "function_call"):
        word = "function_call"
    fields: Object = {"finish_reason": word}
    if stop.raw and stop.raw != word:
        fields["native_finish_reason"] = stop.raw
    if stop.sequence is not None:
        fields["stop_reason"] = stop.sequence
    return fields
