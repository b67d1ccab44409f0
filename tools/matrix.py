"""What becomes of each thing that a client may say, on each provider's wire?

Writes docs/matrix.md, out of what the dialects do: each probe is encoded, and the outcome looked at. So no cell is
anybody's opinion. `python -m tools.matrix` writes the page anew; a test holds it up to date.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import msgspec

from proxy import registry
from proxy.canon import Choice, Completion, Reason, Request, Start, Stop, Text, Usage, unfold
from proxy.canon import fold as folded
from proxy.errors import BadRequest, Unrepresentable
from proxy.grammar.endings import AS_IT_CAME
from proxy.grammar.gpt import takes_free_text
from proxy.lanes.freetext import as_functions
from proxy.ports import Peek
from tools.probes import ELSEWHERE, PROBES, Probe

PAGE = Path(__file__).resolve().parent.parent / "docs" / "matrix.md"

# The wires, and the models that show where one wire takes more or less by model. The first is the rule.
MODELS: Mapping[str, Sequence[str]] = {
    "openai_chat": ("gpt-5.1", "gpt-6.1-sol", "gpt-4.1"),
    "openai_responses": ("gpt-5.1", "gpt-6.1-sol", "gpt-4.1"),
    "anthropic": ("claude-sonnet-4-5", "claude-opus-4-8", "claude-3-5-haiku"),
    "gemini": ("gemini-2.5-flash", "gemini-3-pro"),
    "bedrock": ("anthropic.claude-sonnet-4-5", "anthropic.claude-opus-4-8", "amazon.nova-pro", "openai.gpt-oss-120b"),
    "ollama": ("qwen3", "gpt-oss"),
    "cohere": ("command-a-plus", "command-r"),
}

BUCKETS = "input cache_read cache_write cache_write_1h audio_input output reasoning audio_output".split()

HEAD = """# What crosses, and what does not

Made by `python -m tools.matrix` out of what the dialects do, and held up to date by a test. What goes upstream for one
request of each kind, word for word, is in [tests/wire](../tests/wire).

A client of any wire may ask any provider. Where both speak one wire the request passes through as it is. Where it is
translated, each thing in it is

| | |
|---|---|
| carried | said in the provider's own words |
| nearest | said as nearly as the wire or the model can, and named in `x-pillion-dropped` as the client calls it |
| receipt | left out, and named there |
| refused | answered with 400 and the place in the client's body |
| so anyway | not said, as it is what the wire does unasked |

With `strict: true` what would be named is refused.

How a client spelled what was understood (a `tool_plan` that crosses as a thought) is kept for its own wire alone, and
no receipt tells that another one spells it otherwise (`fields.Verbatim`). The name and the description of a schema are
its `title` and `description` on a wire that has no other place for them; where the schema has others, a receipt names
those that are left out.

A seal is here the provider's own: one that is known for another's is left out, with a receipt, before its wire is
asked ([how it is known](decisions/0013-unmarked-seals.md)). A text file that a wire has no place for is said as text,
with its name.

Where the models of a wire differ, the cell goes by the first and names the others. The models are
"""


# --- towards providers -----------------------------------------------------------------------------------------------


def outcome(probe: Probe, wire: str, model: str) -> str:
    """What becomes of it."""
    try:
        asked = _encoded(probe.asks, wire, model)
    except Unrepresentable:
        return "refused"
    silent = _encoded(probe.silent, wire, model)
    changed, named = asked[0] != silent[0], set(asked[1]) - set(silent[1])
    if named:
        return "nearest" if changed else "receipt"
    if changed:
        return "carried"
    return "so anyway" if probe.idle else "gone"


def _encoded(request: Request, wire: str, model: str) -> tuple[Any, tuple[str, ...]]:
    request = deepcopy(request)
    request.model = model
    if not takes_free_text(wire, model):
        request = as_functions(request)
    encoded = registry.dialect(wire).encode(request)
    body = msgspec.json.decode(encoded.body)
    body["streams"] = request.stream  # on two wires the path says it
    return body, encoded.dropped


def cell(probe: Probe, wire: str) -> str:
    """The first model's outcome, and the models that have another."""
    models = MODELS[wire]
    found = {model: outcome(probe, wire, model) for model in models}
    rule = found[models[0]]
    others = [f"{each} on {model}" for model, each in found.items() if each != rule]
    return "; ".join([rule, *others])


# --- towards clients -------------------------------------------------------------------------------------------------


def said(probe: Probe, wire: str) -> str:
    """Can a client of this wire say it? Said in the wire's words and read back it is the same, nearly, or not there.

    Some of its words a wire has for its own clients alone, and some a request of its own must bring along.
    """
    ways = [_heard(probe, wire, spoken) for spoken in (wire, ELSEWHERE)]
    return next((word for word in ("yes", "nearly") if word in ways), "no")


def _heard(probe: Probe, wire: str, spoken: str) -> str:
    """`spoken`: the wire that the request is said to have come on."""
    try:
        heard, unasked = _read_back(probe.asks, wire, spoken), _read_back(probe.silent, wire, spoken)
    except (BadRequest, KeyError):  # refused, or no table of its words has a row for it
        return "no"
    if heard == unasked:
        return "no"
    meant, without = _plain(probe.asks), _plain(probe.silent)
    same = all(heard[key] == value for key, value in meant.items() if value != without[key])
    return "yes" if same else "nearly"


def _read_back(request: Request, wire: str, spoken: str) -> Any:
    """Raises BadRequest or KeyError where the wire has no word for it."""
    request = deepcopy(request)
    request.wire, request.model = spoken, MODELS[wire][0]
    dialect = registry.dialect(wire)
    return _plain(dialect.parse(dialect.encode(request).body, Peek(request.model, request.stream)))


def _plain(value: Any) -> Any:
    """A request as data, less what depends on where it stood."""
    return _stripped(msgspec.to_builtins(value))


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(each) for key, each in value.items() if key not in ("at", "extra", "wire", "model")}
    return [_stripped(each) for each in value] if isinstance(value, list) else value


# --- answers ---------------------------------------------------------------------------------------------------------


def _answer(wire: str, usage: Usage) -> Completion:
    """What the wire itself makes of an answer that it has told."""
    choice = Choice(parts=[Text(text="Hi")], stop=Stop())
    whole = Completion(start=Start(id="1", model="m"), choices=[choice], usage=usage)
    dialect = registry.dialect(wire)
    renderer, decoder = dialect.renderer(Request(wire=wire, model="m", turns=[])), dialect.decoder(stream=False)
    body = b"".join(map(renderer.feed, unfold(whole)))
    return folded([*decoder.feed(body), *decoder.close()])


def bucket(name: str, wire: str) -> str:
    """Where tokens of this kind are, once the wire has told them."""
    counts: dict[str, Any] = {"input": 100, "output": 100, name: 107}
    told = _answer(wire, Usage(**counts)).usage or Usage()
    grown = [each for each in BUCKETS if getattr(told, each) % 100 == 7]
    return "told apart" if grown == [name] else f"in {' and '.join(grown)}" if grown else "not told"


def words_in(reason: Reason, wire: str) -> str:
    """The words of the wire that are read as this reason."""
    table = _words(wire).REASONS
    return ", ".join(f"`{word}`" for word, meant in table.items() if meant == reason)


def word_out(reason: Reason, wire: str) -> str:
    """The word that a client of the wire reads."""
    word = _words(wire).STOP_WORDS[reason]
    return "as it came" if word == AS_IT_CAME else f"`{word}`"


def _words(wire: str) -> Any:
    return import_module(f"proxy.dialects.{wire}.words")


# --- the page --------------------------------------------------------------------------------------------------------


def page() -> str:
    return "\n".join(
        [HEAD.rstrip("\n"), *_models(), *_towards_providers(), *_towards_clients(), *_usage(), *_endings()]
    )


def _models() -> Iterator[str]:
    yield ", ".join(f"{model} ({wire})" for wire, models in MODELS.items() for model in models) + "."


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _table(first: str) -> Iterator[str]:
    yield from ("", _row(first, *MODELS), "|---" * (1 + len(MODELS)) + "|")


def _towards_providers() -> Iterator[str]:
    yield "\n## What a provider gets"
    for group, probes in PROBES.items():
        yield from _table(group)
        for probe in probes:
            yield _row(probe.name, *(cell(probe, wire) for wire in MODELS))


def _towards_clients() -> Iterator[str]:
    yield "\n## What a client can say\n\nIn its own wire's words, read back by pillion: all of it (yes), nearly, or no."
    for group, probes in PROBES.items():
        rows = [_row(probe.name, *(said(probe, wire) for wire in MODELS)) for probe in probes if probe.own]
        yield from [*_table(group), *rows] if rows else []


def _usage() -> Iterator[str]:
    yield "\n## Tokens\n\nEach counted once; where a wire has no bucket for them, they are in the one named."
    yield from _table("")
    for name in BUCKETS:
        yield _row(name, *(bucket(name, wire) for wire in MODELS))


def _endings() -> Iterator[str]:
    yield "\n## Why an answer ended\n\nThe words of a provider, and what they are read as:"
    yield from _table("read as")
    for reason in get_args(Reason):
        yield _row(reason, *(words_in(reason, wire) for wire in MODELS))
    yield "\nA host may say another wire's word; any that none of them has is `other`. The Responses API has words for"
    yield "an answer that is incomplete; why one that is complete has ended, its items say. What a client reads, where"
    yield "the answer is another wire's:"
    yield from _table("meant")
    for reason in get_args(Reason):
        yield _row(reason, *(word_out(reason, wire) for wire in MODELS))
    yield "\nAs it came: the provider's own word, so that an abnormal end never looks like a normal one. Beside"
    yield "Gemini's `OTHER` it is the `finishMessage`, beside Cohere's `ERROR` in the `error`.\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE} is written.\n")
