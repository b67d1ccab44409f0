"""How is a Request written for a host of this wire?

The mirror of parse.py. Knobs that the wire lacks are dropped and named in the receipt; content that it cannot carry is
refused with its path.
"""

import re
from operator import attrgetter

from proxy.canon import Reasoning, Request, Tool, ToolChoice
from proxy.dialects.openai_chat.encode_messages import Messages
from proxy.dialects.openai_chat.encode_parts import marks_of
from proxy.dialects.openai_chat.words import API, KNOBS, KNOBS_LACKED, NAME, SEARCH, SPELT, always_searches
from proxy.grammar.fields import Object, as_object, without_nulls
from proxy.grammar.functions import nest
from proxy.grammar.gpt import fitted
from proxy.grammar.openai import TIERS, alike, effort_in, form_of, in_range, is_gpt, with_short_user
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import foreign_tool, refuse_beyond_text, refuse_demands
from proxy.grammar.searching import sought
from proxy.grammar.shapes import answered, offered
from proxy.grammar.showing import with_drawn

_MOST_STOPS = 4

_knobs_of = attrgetter(*KNOBS)
_is_newer = re.compile(r"(?:.*[/.])?(?:o[1-9]|gpt-[5-9])").match


def limit_field(model: str) -> str:
    """OpenAI's reasoning models refuse `max_tokens`; other hosts know only that."""
    return "max_completion_tokens" if _is_newer(model) else "max_tokens"


class Encoding:
    """One request on its way out. `dropped` is the receipt: the names of what this wire lacks."""

    def __init__(self, request: Request) -> None:
        self._own = request.wire == NAME
        self.dropped = Receipt(request, NAME)
        self._alike: Object = {}
        if not self._own:
            request = with_short_user(fitted(request, self.dropped, in_chat=True), self.dropped)
            request, self._alike = alike(in_range(with_drawn(request, NAME, self.dropped), self.dropped))
        self._request = request

    def body(self) -> Object:
        request = self._request
        if not self._own:
            refuse_demands(request, API)
            refuse_beyond_text(request, API)
        body: Object = {"model": request.model, "messages": Messages(request, self.dropped).told()}
        self._add_tools(body)
        optional = {
            "response_format": self._format(),
            self._limit_field(): request.max_tokens,
            "stop": self._stop(),
            "logit_bias": request.logit_bias,
            "modalities": request.modalities if self._own else None,  # the default is text, and few hosts know others
            "metadata": request.metadata and self._metadata(),  # few have any
            **self._reasoning(),
            **self._knobs(),
        }
        body |= self.dropped.carried(request.extra) | request.demands | self._alike
        spelt = as_object(body.pop(SPELT, None))
        if request.reasoning is None:  # it may have been left out
            spelt = {key: value for key, value in spelt.items() if key not in ("thinking", "reasoning_effort")}
        body |= without_nulls(optional) | spelt
        if request.stream:
            body["stream"] = True
            if options := as_object(body.get("stream_options")) | self._stream_options():
                body["stream_options"] = options
        return body

    def _stream_options(self) -> Object:
        padded = self._request.obfuscation
        asked: Object = {"include_usage": True} if self._request.ask_usage else {}
        return asked if padded is None else asked | {"include_obfuscation": padded}

    # knobs

    def _knobs(self) -> Object:
        """Another vendor's tiers are left out, as OpenAI refuses them."""
        said = {name: value for name, value in zip(KNOBS, _knobs_of(self._request), strict=True) if value is not None}
        if self._own:
            return said
        self.dropped.lacking(KNOBS_LACKED)
        if said.get("service_tier", "auto") not in TIERS:
            self.dropped.add("service_tier")
            del said["service_tier"]
        return {name: value for name, value in said.items() if name not in KNOBS_LACKED}

    def _metadata(self) -> dict[str, str] | None:
        """OpenAI takes it only beside `store`, and clients of other wires keep no chats there.

        https://community.openai.com/t/metadata-parameter-in-chat-completion-api-reference-documentation-needs-to-be-updated/1119240
        """
        request = self._request
        if self._own or request.store or not is_gpt(request.model):
            return request.metadata
        self.dropped.add("metadata")
        return None

    def _stop(self) -> list[str] | None:
        """OpenAI refuses more than four, and an empty list. (https://platform.openai.com/docs/api-reference/chat/create)

        https://github.com/langtail/langtail-node/pull/42
        """
        stop = self._request.stop
        if self._own:
            return stop
        return self.dropped.stops(stop, _MOST_STOPS) if is_gpt(self._request.model) else stop or None

    def _limit_field(self) -> str:
        """As the host wants it; else a client of this wire keeps the name that it used."""
        for way in self._request.ways & {"max_tokens", "max_completion_tokens"}:
            return way
        if self._own and self._request.limit_field:
            return self._request.limit_field
        return limit_field(self._request.model)

    def _reasoning(self) -> Object:
        """The effort, in OpenRouter's `reasoning` if the client has said what only that can hold."""
        if self._request.reasoning is None and not (self._own and self._request.extra):
            return {}
        if self._own and "thinking" in as_object(self._request.extra.get(SPELT)):
            return {}
        reasoning, rest = self._request.reasoning or Reasoning(), self._request.extra.get("reasoning")
        if reasoning.summary is not None:
            self.dropped.add("reasoning.summary")
        effort = effort_in(self._request, self._own, self.dropped)
        if not self._own or (reasoning.budget is None and not isinstance(rest, dict)):
            return {"reasoning_effort": effort}
        said = {"effort": effort, "max_tokens": reasoning.budget}
        return {"reasoning": without_nulls(said) | as_object(rest)}

    def _format(self) -> Object | None:
        form = form_of(self._request)
        if form is None:
            return None
        if form.kind != "schema":
            return {"type": "text" if form.kind == "text" else "json_object"}
        if is_gpt(self._request.model):
            form = answered(form, self._request)
        name = form.name if self._own or form.name else "response"  # required by OpenAI
        named = {"name": name, "description": form.description, "schema": form.schema, "strict": form.strict}
        return {"type": "json_schema", "json_schema": without_nulls(named)}

    # tools

    def _add_tools(self, body: Object) -> None:
        tools, choice = self._request.tools, self._request.tool_choice
        if not tools and not self._own:
            return  # OpenAI refuses a choice among no tools, and it means nothing
        if choice is not None and choice.mode == "tool" and "demands" in self._request.ways:
            if len(tools) > 1:
                self.dropped.add("tools")
            tools, choice = [tool for tool in tools if tool.name == choice.name], ToolChoice("required")
        tools = [tool for tool in tools if tool.search is None or not self._seeks(tool, body)]
        if not tools and not self._own:
            return  # the model always searches, without a choice
        legacy = [tool for tool in tools if self._own and tool.at.startswith("functions[")]
        modern = [self._tool(tool) for tool in tools if tool not in legacy]
        if modern:
            body["tools"] = modern
        if legacy:
            body["functions"] = [self._offer(tool) | tool.extra for tool in legacy]
        if choice is not None:
            body["function_call" if legacy and not modern else "tool_choice"] = self._choice(choice, bool(modern))
        if self._request.parallel_tools is not None:
            body["parallel_tool_calls"] = self._request.parallel_tools

    def _seeks(self, tool: Tool, body: Object) -> bool:
        """Is it the field that asks for a search here? Of OpenAI's models, some search before each answer, and the
        others only in Responses. Raises Unrepresentable.
        """
        if self._own:
            return tool.kind == SEARCH  # among the demands, as it came
        if not always_searches(self._request.model):
            raise foreign_tool(tool, API)
        search = sought(tool, self._request, API, self.dropped, says=("place", "size"))
        place = None if search.place is None else {"type": "approximate", "approximate": search.place}
        body[SEARCH] = without_nulls({"search_context_size": search.size, "user_location": place})
        return True

    def _offer(self, tool: Tool) -> Object:
        """OpenAI takes a function without parameters to have none; Mistral, llama.cpp and others refuse it."""
        parameters, strict = tool.parameters, tool.strict
        if tool.kind == "function" and not self._own:
            parameters, strict = offered(tool, self._request, self.dropped)
        fields = {
            "name": tool.name,
            "description": tool.description,
            "parameters": parameters,
            "strict": strict,
            "format": None if tool.form is None else _form(tool.form),
        }
        return without_nulls(fields)

    def _tool(self, tool: Tool) -> Object:
        if tool.kind in ("function", "custom"):
            return nest(tool.kind, self._offer(tool), marks_of(tool, self._own, self.dropped))
        if not self._own:
            raise foreign_tool(tool, API)
        return {"type": tool.kind, **marks_of(tool, self._own, self.dropped)}

    def _choice(self, choice: ToolChoice, modern: bool) -> object:
        if choice.among:
            tools = [self._named(name) for name in choice.among]
            return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}
        if choice.mode != "tool":
            return choice.mode
        if not modern and self._request.tools:
            return {"name": choice.name}
        return self._named(choice.name)

    def _named(self, name: str | None) -> Object:
        custom = any(tool.kind == "custom" and tool.name == name for tool in self._request.tools)
        kind = "custom" if custom else "function"
        return {"type": kind, kind: {"name": name}}


def _form(form: Object) -> Object:
    """The format of a custom tool's text. On this wire a grammar is nested in an object of its own."""
    if form.get("type") != "grammar":
        return form
    return {"type": "grammar", "grammar": {key: value for key, value in form.items() if key != "type"}}
