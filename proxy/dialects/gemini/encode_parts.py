"""How are the turns of a chat said to Google?"""

from typing import assert_never

from proxy.canon import (
    Audio,
    Document,
    Image,
    Opaque,
    Part,
    Refusal,
    Request,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)
from proxy.dialects.gemini import media
from proxy.dialects.gemini.parse_parts import is_made
from proxy.dialects.gemini.thinking import generation
from proxy.dialects.gemini.words import API, NAME, NO_SEAL, RESOLUTIONS
from proxy.envelope import parse_object
from proxy.errors import BadRequest, Unrepresentable
from proxy.grammar.fields import Object, as_object, merged
from proxy.grammar.nouns import noun_of
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import arguments_for, says_nothing, stored_elsewhere, unaccepted
from proxy.grammar.textual import found_as_text


class Contents:
    """One request's turns. `dropped`: the receipt of the whole request."""

    def __init__(self, request: Request, dropped: Receipt) -> None:
        self._request = request
        self._turns = request.turns
        self._own = request.wire == NAME
        self._newer = generation(request.model) >= (3, 0)
        self._draws = self._newer and "-image" in request.model
        self._dropped = dropped
        self._names: dict[str, str] = {}  # of functions, by the call's id: a result must name its function

    def said(self) -> Object:
        """`systemInstruction`, if there is one, and `contents`."""
        count = 0
        may_lead = "uninstructed" not in self._request.ways
        while may_lead and count < len(self._turns) and self._leads(self._turns[count]):
            count += 1
        instruction: Object = {"parts": []} if count else {}
        for turn in self._turns[:count]:
            instruction.update(self._kept(turn.extra))
            instruction["parts"] += self._instruction(turn)
        contents = self._contents(self._turns[count:])
        if not contents and not self._own:
            raise says_nothing(self._request, API)
        said = instruction if self._own or instruction.get("parts") else {}
        return {"systemInstruction": said, "contents": contents}

    def _leads(self, turn: Turn) -> bool:
        return turn.role in ("system", "developer")

    def _kept(self, extra: Object) -> Object:
        """What only the wire that it came in understands: kept if that is this one, or else noted as left out."""
        if self._own:
            return extra
        self._dropped.left(extra)
        return {}

    def _instruction(self, turn: Turn) -> list[Object]:
        for part in turn.parts:
            if not isinstance(part, Text) and not self._own:
                raise unaccepted(part, API, f"{noun_of(part)} in a system prompt, only text")
        return self._spoken(turn)

    def _contents(self, turns: list[Turn]) -> list[Object]:
        contents: list[Object] = []
        for turn in turns:
            role = "model" if turn.role == "assistant" else "user"
            parts = self._late(turn) if self._leads(turn) else self._spoken(turn)
            parts += [self._medium(image) for images in turn.drawn.values() for image in images]
            extra = self._kept({key: value for key, value in turn.extra.items() if key not in turn.drawn})
            if self._own:
                contents.append({"role": role, "parts": parts, **extra})
            elif contents and contents[-1]["role"] == role:  # roles take turns
                contents[-1]["parts"] += parts
            elif parts:
                contents.append({"role": role, "parts": parts})
        for content in contents:
            if self._draws and content["role"] == "model":
                _seal_drawn(content["parts"])
            if not self._own:  # tool results go before all else that the user says
                content["parts"].sort(key=lambda part: "functionResponse" not in part)
            self._seal(content["parts"])
        return contents

    def _late(self, turn: Turn) -> list[Object]:
        """A system turn in mid-chat. The wire has no role for it, so that the user's turn carries it."""
        parts = self._instruction(turn)
        if parts:
            self._dropped.add("turn.place")
        return [{"text": f"<system>\n{part['text']}\n</system>"} for part in parts]

    def _spoken(self, turn: Turn) -> list[Object]:
        return [item for part in turn.parts for item in self._part(part)]

    def _seal(self, parts: list[Object]) -> None:
        """Gemini 3 wants the first of a turn's calls sealed. It may be another model's, or have lost its seal."""
        first = next((part for part in parts if "functionCall" in part), None)
        if self._newer and first is not None and "thoughtSignature" not in first:
            first["thoughtSignature"] = NO_SEAL

    # parts

    def _part(self, part: Part) -> list[Object]:
        match part:
            case Text():
                return self._text(part)
            case Refusal():
                return [self._marked({"text": part.text}, part)] if part.text else []
            case Thinking():
                return self._thought(part)
            case Document() if part.origin is not None:
                return self._part(found_as_text(part, self._dropped.unquoted))
            case Image() | Audio() | Video() | Document():
                return [self._medium(part)]
            case ToolCall():
                return [self._call(part)]
            case ToolResult():
                return self._result(part)
            case Opaque(wire="gemini", value=value):
                return [value]
            case Opaque():
                raise unaccepted(part, API, noun_of(part))
            case _:
                assert_never(part)

    def _marked(self, said: Object, part: Part, signature: str = "") -> Object:
        """The wire's part, with its seal and with what is left over of the canonical one."""
        if part.cache is not None:
            self._dropped.uncached(part.cache)
        if signature:
            said["thoughtSignature"] = signature
        return merged(said, self._kept(part.extra))

    def _text(self, part: Text) -> list[Object]:
        if part.citations:
            self._dropped.add("text.citations")
        if not part.text and not part.signature and not self._own:  # the wire refuses empty text
            self._dropped.marks(part)
            return []
        return [self._marked({"text": part.text}, part, part.signature)]

    def _thought(self, part: Thinking) -> list[Object]:
        """From another wire, Google gets only thoughts that it has sealed. A redacted one is never Google's."""
        if part.redacted or not (self._own or part.signature):
            self._dropped.add("thinking")
            return []
        return [self._marked({"text": part.text, "thought": True}, part, part.signature)]

    def _medium(self, part: Image | Audio | Video | Document, in_result: bool = False) -> Object:
        if part.source is None:
            raise unaccepted(part, API, "the ID of another provider's audio")
        if isinstance(part.source, Stored) and not self._own:
            raise stored_elsewhere(part.at)
        said = media.said(part, part.source, self._own)
        if isinstance(part, Image) and part.detail not in (None, "auto"):
            said |= self._resolved(part.detail, in_result)
        if isinstance(part, Document) and part.name is not None:
            if self._own:
                next(iter(said.values()))["displayName"] = part.name
            elif part.name:
                self._dropped.add("document.name")
        if isinstance(part, Document):
            self._dropped.uncited(part)
        return self._marked(said, part)

    def _resolved(self, detail: str | None, in_result: bool) -> Object:
        """How closely one image is looked at. Older models take that only for all media at once.

        https://ai.google.dev/gemini-api/docs/media-resolution
        """
        takes_it = self._own or (self._newer and not in_result)
        level = RESOLUTIONS.get(detail or "") if takes_it else None
        if level is None:
            self._dropped.add("image.detail")
            return {}
        return {"mediaResolution": {"level": level}}

    def _call(self, part: ToolCall) -> Object:
        self._names[part.id] = part.name
        said: Object = {"name": part.name}
        if part.arguments or not self._own:
            said["args"] = arguments_for(part, API, self._dropped)
        return self._marked({"functionCall": _identified(part.id) | said}, part, part.signature)

    def _result(self, part: ToolResult) -> list[Object]:
        """The result. Older models' functionResponse holds no media: those follow as parts of their own."""
        named = as_object(part.extra.get("functionResponse")).get("name") if self._own else None
        name = named or self._names.get(part.id)
        if not name:
            message = f"{part.at} is the result of the tool call {part.id!r}, which no earlier message contains."
            raise Unrepresentable(message, param=part.at)
        parts = [found_as_text(one, self._dropped.unquoted) for one in part.parts]
        text = "\n".join(self._plain(one) for one in parts if isinstance(one, Text))
        shown = [self._shown(one) for one in parts if not isinstance(one, Text)]
        said = {**_identified(part.id), "name": name, "response": _response(text, bool(part.is_error))}
        if shown and (self._newer or self._own):
            return [self._marked({"functionResponse": said | {"parts": shown}}, part)]
        return [self._marked({"functionResponse": said}, part), *shown]

    def _plain(self, part: Text) -> str:
        """A text of a result, which holds strings and nothing else."""
        if part.citations:
            self._dropped.add("text.citations")
        self._dropped.unsealed(part)
        self._dropped.marks(part)
        return part.text

    def _shown(self, part: Part) -> Object:
        if isinstance(part, Image | Audio | Video | Document):
            return self._medium(part, in_result=True)
        raise unaccepted(part, API, f"{noun_of(part)} in a tool result")


def _seal_drawn(parts: list[Object]) -> None:
    """A model that draws wants its images sealed, and what it says first: "Image part is missing a thought_signature".

    Other wires have no place for a seal on an image. https://ai.google.dev/gemini-api/docs/thought-signatures
    """
    said = [part for part in parts if not part.get("thought")]
    for place, part in enumerate(said):
        if place == 0 or "inlineData" in part or "fileData" in part:
            part.setdefault("thoughtSignature", NO_SEAL)


def _identified(name: str) -> Object:
    return {} if not name or is_made(name) else {"id": name}


def _object_in(text: str) -> Object | None:
    try:
        return parse_object(text.encode(), is_part=True)
    except (BadRequest, UnicodeEncodeError):
        return None


def _response(text: str, failed: bool) -> Object:
    """An object as it is; other text under the key that Google has for it (https://ai.google.dev/api/caching)."""
    value = _object_in(text)
    if failed:
        return {"error": text if value is None else value}
    return {"result": text} if value is None else value
