"""Which of the assistant's turns are one, where results must follow their calls at once?

Chat Completions and Cohere refuse a call whose result is not in the very next messages. On Gemini's and OpenAI's other
wire an answer may come back in pieces: Google's SDK keeps a turn for each event of a stream, an empty last one as well,
so that two calls are two turns and something stands behind them.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from msgspec.structs import replace

from proxy.canon import Part, Text, ToolCall, Turn


def joined(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns; of neighbours that are the assistant's, and call tools, one is made. They stay as they are."""
    if not any(one.role == other.role == "assistant" for one, other in pairwise(turns)):
        return turns
    runs = (list(run) for _, run in groupby(turns, lambda turn: turn.role))
    return [turn for run in runs for turn in _one(run)]


def _one(run: list[Turn]) -> list[Turn]:
    parts = [part for turn in run for part in turn.parts]
    calls = any(isinstance(part, ToolCall) for part in parts)
    if len(run) == 1 or run[0].role != "assistant" or not calls:
        return run
    extra = {key: value for turn in run for key, value in turn.extra.items()}
    return [replace(run[0], parts=list(_without_silence(parts)), extra=extra)]


def _without_silence(parts: Iterable[Part]) -> Iterable[Part]:
    return (part for part in parts if not (isinstance(part, Text) and part.is_plain and not part.text))
