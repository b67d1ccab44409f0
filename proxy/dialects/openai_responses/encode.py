"""How is a Request written for a host of the Responses API?

The mirror of parse.py. Knobs that this wire lacks are dropped and named in the receipt; content that it cannot carry is
refused with its path. A client of another wire expects that no provider keeps its chat. So nothing is stored for it,
and the encrypted reasoning is requested, so that the client can send it back.
"""

from operator import attrgetter

from proxy.canon import Request, Tool, ToolChoice
from proxy.dialects.openai_responses.encode_input import Saying
from proxy.dialects.openai_responses.namespaces import group_of, inner_name, is_member
from proxy.dialects.openai_responses.words import (
    ADDED,
    API,
    KNOBS,
    KNOBS_LACKED,
    LOGPROBS,
    MIN_TOKENS,
    NAME,
    SEALS,
    SEARCHING,
    SOURCES,
)
from proxy.grammar.fields import Object, as_list, as_object, dump, without_nulls
from proxy.grammar.gpt import fitted
from proxy.grammar.openai import TIERS, alike, effort_in, form_of, in_range, is_gpt, with_short_user
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import refuse, says_nothing
from proxy.grammar.searching import located, sought
from proxy.grammar.shapes import answered, offered
from proxy.grammar.showing import with_drawn

_KEYS = tuple(key for key, _ in KNOBS.values())
_values_of = attrgetter(*KNOBS)


class Encoding:
    """One request on its way out. `dropped` is the receipt: the names of what this wire lacks."""

    def __init__(self, request: Request) -> None:
        self._own = request.wire == NAME
        self.dropped = Receipt(request, NAME)
        self._alike: Object = {}
        if not self._own:
            request = with_short_user(fitted(request, self.dropped, in_chat=False), self.dropped)
            request, self._alike = alike(in_range(with_drawn(request, NAME, self.dropped), self.dropped))
        self._request = request
        self._saying = Saying(request, self.dropped)

    def body(self) -> Object:
        request = self._request
        refuse(self._request, self._own, API)
        items = self._saying.items()
        if not items and not self._own:
            raise says_nothing(request, API)
        body: Object = {"model": request.model, **self.instructions(), "input": items, **self.settings()}
        if self._own and not items:
            del body["input"]
        self._leave_out()
        return body

    def instructions(self) -> Object:
        return self._saying.instructions()

    def settings(self) -> Object:
        """Everything but the model and the turns."""
        request = self._request
        said = {
            **(_knobs_of(request) if self._own else {key: self._fitted(name) for name, (key, _) in KNOBS.items()}),
            **self._offer(),
            "text": self._text(),
            "reasoning": self._reasoning(),
            "metadata": request.metadata,
            "include": self._include(),
            "max_tool_calls": self._most(),
            "stream": request.stream or None,
            "stream_options": None if request.obfuscation is None else {"include_obfuscation": request.obfuscation},
        }
        body = without_nulls(said)
        return body | self._carried(body)

    def _leave_out(self) -> None:
        """Note in the receipt the knobs that the wire lacks, and what only another wire knows."""
        self.dropped.lacking(KNOBS_LACKED)
        if not self._own:
            self.dropped.left(self._request.extra)

    def _carried(self, body: Object) -> Object:
        """What only this wire knows, if the client speaks it; the rest of a nested object goes back into the object."""
        carried = self._request.extra | self._request.demands if self._own else self._alike
        if not carried:
            return {}
        for key in ("text", "reasoning", "stream_options"):
            if key in carried:
                carried[key] = as_object(body.get(key)) | as_object(carried[key])
        carried.pop("include", None)
        return carried

    # knobs

    def _fitted(self, name: str) -> object:
        """A knob from another wire, as this one takes it."""
        value = getattr(self._request, name)
        if name == "store":
            return bool(value)
        if name == "parallel_tools" and not self._request.tools:
            return None
        if name == "max_tokens" and value is not None and value < MIN_TOKENS:
            self.dropped.add("max_tokens")
            return MIN_TOKENS
        if name == "service_tier" and value is not None and value not in TIERS:
            self.dropped.add("service_tier")
            return None
        return value

    def _include(self) -> list[str]:
        asked = as_list(self._request.extra.get("include")) if self._own else []
        finds = not self._own and any(tool.search is not None for tool in self._request.tools)
        found = [SOURCES] if finds else []
        return [SEALS, *([LOGPROBS] if self._request.logprobs else []), *found, *asked]

    def _text(self) -> Object | None:
        form, verbosity = form_of(self._request), self._request.verbosity
        text: Object = {} if verbosity is None else {"verbosity": verbosity}
        if form is None:
            return text or None
        if form.kind != "schema":
            return text | {"format": {"type": "text" if form.kind == "text" else "json_object"}}
        if is_gpt(self._request.model):
            form = answered(form, self._request)
        name = form.name if self._own or form.name else "response"  # required by OpenAI
        named = {"name": name, "description": form.description, "schema": form.schema, "strict": form.strict}
        said = without_nulls(named)
        return text | {"format": {"type": "json_schema", **said}}

    def _reasoning(self) -> Object | None:
        reasoning = self._request.reasoning
        if reasoning is None:
            return None
        said = {"effort": effort_in(self._request, self._own, self.dropped), "summary": reasoning.summary}
        return without_nulls(said) or None

    # tools

    def _offer(self) -> Object:
        tools, choice = self._request.tools, self._request.tool_choice
        if not tools and not self._own:
            return {}  # OpenAI refuses a choice among no tools, and it means nothing
        offered = [said for tool in tools if (said := self._tool(tool)) is not None]
        return {"tools": offered or None, "tool_choice": None if choice is None else self._choice(choice)}

    def _tool(self, tool: Tool) -> Object | None:
        """None if the tool goes out elsewhere: with its group, or with the item that added it."""
        if self._own and ADDED in tool.extra:
            return None
        if self._own and is_member(tool):
            return group_of(tool)
        if tool.kind not in ("function", "custom"):
            return tool.extra if self._own else self._search(tool)
        named: Object = {"name": tool.name, "description": tool.description, "format": tool.form}
        if tool.kind == "function":
            named |= self._shape(tool)
        return {
            "type": tool.kind,
            **without_nulls(named),
        } | self.dropped.marks(tool)

    def _search(self, tool: Tool) -> Object:
        search = sought(tool, self._request, API, self.dropped, says=("allowed", "place", "most", "size"))
        told = {
            "filters": {"allowed_domains": search.allowed} if search.allowed else None,
            "user_location": located(search),
            "search_context_size": search.size,
        }
        return {"type": SEARCHING, **without_nulls(told)}

    def _most(self) -> int | None:
        """How often tools of the provider's own may be called, of which a search is the only one here."""
        found = (tool.search.most for tool in self._request.tools if tool.search is not None)
        return None if self._own else next(found, None)

    def _shape(self, tool: Tool) -> Object:
        """A function's parameters. A missing `strict` means true on this wire, and false on every other."""
        if self._own:
            return {"parameters": tool.parameters, "strict": tool.strict}
        parameters, strict = offered(tool, self._request, self.dropped)
        return {"parameters": parameters, "strict": bool(strict)}

    def _choice(self, choice: ToolChoice) -> object:
        if choice.among:
            tools = {dump(said): said for said in map(self._named, choice.among)}  # once for several namespaces
            return {"type": "allowed_tools", "mode": choice.mode, "tools": list(tools.values())}
        return choice.mode if choice.mode != "tool" else self._named(choice.name)

    def _named(self, name: str | None) -> Object:
        tool = next((tool for tool in self._request.tools if tool.name == name), None)
        if tool is not None and self._own and is_member(tool):
            name = inner_name(tool)
        if tool is not None and tool.search is not None:
            return {"type": tool.kind if self._own else SEARCHING}
        return {"type": "custom" if tool is not None and tool.kind == "custom" else "function", "name": name}


def _knobs_of(request: Request) -> Object:
    said = zip(_KEYS, _values_of(request), strict=True)
    return {key: value for key, value in said if value is not None}
