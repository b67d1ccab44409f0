"""Which of the assistant's turns belong together, on wires where results must follow their calls at once?

Chat Completions and Cohere refuse a call whose result is not in the very next messages. Ollama makes neighbouring
messages of one role into one, and keeps no calls but those of the first (`collate` in its template/template.go). On
Gemini's wire and on Responses an answer may come back in pieces: Google's SDK keeps a turn for each event of a stream,
so that two calls become two turns. (Those of words alone are joined where they are read: there that is one turn, for
any wire.) And what a user, or Codex itself, said while a tool ran, Codex sends at the place where it was said.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from operator import attrgetter

from msgspec.structs import replace

from proxy.canon import Part, Text, ToolCall, ToolResult, Turn

_role = attrgetter("role")


def joined(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns, where neighbouring turns of the assistant with calls become one, and results follow their calls.

    The turns given are not changed.
    """
    if "assistant" not in map(_role, turns):
        return turns
    if any(one.role == other.role == "assistant" for one, other in pairwise(turns)):
        runs = (list(run) for _, run in groupby(turns, lambda turn: turn.role))
        turns = [turn for run in runs for turn in _one(run)]
    return _answered(turns)


def _one(run: list[Turn]) -> list[Turn]:
    parts = [part for turn in run for part in turn.parts]
    calls = any(isinstance(part, ToolCall) for part in parts)
    if len(run) == 1 or run[0].role != "assistant" or not calls:
        return run
    extra = {key: value for turn in run for key, value in turn.extra.items()}
    return [replace(run[0], parts=list(_without_silence(parts)), extra=extra)]


def _without_silence(parts: Iterable[Part]) -> Iterable[Part]:
    return (part for part in parts if not (isinstance(part, Text) and part.is_plain and not part.text))


def _answered(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Move what is said before the last result to after it. A call without a result holds nothing back."""
    told: list[Turn] = []
    held: list[Turn] = []
    waiting: set[str] = set()
    for turn in turns:
        if turn.role == "assistant" or not waiting:
            told += [*held, turn]
            held, waiting = [], {part.id for part in turn.parts if isinstance(part, ToolCall)}
            continue
        results = [part for part in turn.parts if isinstance(part, ToolResult) and part.id in waiting]
        waiting -= {part.id for part in results}
        if not results:
            held.append(turn)
        elif len(results) == len(turn.parts) or not (waiting or held):
            told.append(turn)
        else:
            told.append(replace(turn, parts=results, extra={}))
            held.append(replace(turn, parts=[part for part in turn.parts if part not in results]))
    return [*told, *held]
