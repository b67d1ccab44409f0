"""How do hosts of this wire spell a model's reasoning?"""

from msgspec import Struct

from proxy.canon import Thinking
from proxy.grammar.fields import Object, as_object

THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details")  # a message's, by the names that hosts have for it
SENT = "thoughts"  # key in the `extra` of a message's first Thinking: all of its reasoning, as the client spelled it
_OF_DETAIL = {"type", "text", "summary", "signature", "data", "index"}


class Thought(Struct):
    """A piece of reasoning. Pieces with the same key (a detail's index) form one block; None means the open one."""

    key: int | None
    shell: Thinking
    text: str
    signature: str = ""


def thoughts_in(text: str, details: object) -> list[Thought]:
    """The reasoning in a message or a delta.

    OpenRouter and Vercel say the text twice, in `reasoning` and in `reasoning_details`. The details win, since only
    they tell one block from another. DeepSeek and vLLM have only the text; with other hosts the details hold only a
    signature.
    """
    found: list[Thought] = []
    for item in details if isinstance(details, list) else ():
        if isinstance(item, dict):
            _add(found, _thought(item))
    shown = [thought for thought in found if not thought.shell.redacted]
    if text and not any(thought.text for thought in shown):
        if shown:
            shown[0].text = text
        else:
            found.insert(0, Thought(None, Thinking(), text))
    return found


def _add(found: list[Thought], thought: Thought) -> None:
    last = found[-1] if found else None
    if last is None or last.shell.redacted or thought.shell.redacted or last.key != thought.key:
        found.append(thought)
        return
    last.text += thought.text
    last.signature += thought.signature


def _thought(item: Object) -> Thought:
    extra = {key: value for key, value in item.items() if key not in _OF_DETAIL and value is not None}
    kind, data, index = item.get("type"), item.get("data"), item.get("index")
    key = index if isinstance(index, int) else None
    if kind == "reasoning.encrypted" and isinstance(data, str):
        return Thought(key, Thinking(redacted=data, extra=extra), "")
    if isinstance(kind, str) and kind != "reasoning.text":
        extra["type"] = kind
    text, signature = item.get("text") or item.get("summary"), item.get("signature")
    signed = signature if isinstance(signature, str) else ""
    return Thought(key, Thinking(extra=extra), text if isinstance(text, str) else "", signed)


def detail_of(part: Thinking, index: int) -> Object:
    if part.redacted:
        return {"type": "reasoning.encrypted", "data": part.redacted, "index": index, **part.extra}
    detail: Object = {"type": "reasoning.text", **part.extra, "index": index}
    if part.text:
        detail["summary" if detail["type"] == "reasoning.summary" else "text"] = part.text
    if part.signature:
        detail["signature"] = part.signature
    return detail


def flat(value: object) -> str:
    """The text of Mistral's thinking: a string, or a list of text parts."""
    texts = [as_object(item).get("text") for item in value] if isinstance(value, list) else [value]
    return "".join(text for text in texts if isinstance(text, str))
