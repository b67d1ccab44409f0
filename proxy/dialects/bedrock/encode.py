"""How is a Request said to Bedrock?

The mirror of parse.py; the conversation is in turns.py. Knobs that this wire lacks are dropped and named in the
receipt; content that it cannot carry is refused with its path.
"""

import re
from math import inf

from proxy.canon import Request, Tool, ToolChoice
from proxy.dialects.bedrock.reasoning import said_by_client, said_to, to_claude, unthinking
from proxy.dialects.bedrock.turns import Conversation
from proxy.dialects.bedrock.words import (
    API,
    CACHES_TOOLS,
    KNOBS_LACKED,
    MOST_TOP_K,
    NAME,
    SPELT,
    TIERS,
    TOP_K,
    cache_point,
    family_of,
)
from proxy.grammar.claude.betas import KEY
from proxy.grammar.claude.budgets import must_not_think, room_for
from proxy.grammar.claude.models import RANGES, Takes, does_think, knobs_of, sampled, takes_of
from proxy.grammar.fields import Object, Verbatim, as_object, dump, merged, without_nulls
from proxy.grammar.offers import tools_called
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import foreign_tool, refuse
from proxy.grammar.roots import rooted
from proxy.grammar.shapes import held_to
from proxy.grammar.showing import with_drawn
from proxy.grammar.thinking import is_undecided, moot

# RequestMetadata: how many labels there may be, and what they may consist of.
_MAX_LABELS = 16
_LABEL_KEY = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
_LABEL_VALUE = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")


class Encoding:
    """One request on its way to the wire."""

    def __init__(self, request: Request) -> None:
        self._own = request.wire == NAME  # then its `extra` is valid here
        self._spelt = as_object(request.extra.get(SPELT)) if self._own else {}
        self._family = family_of(request.model)
        self._takes = takes_of(request.model) if self._family == "claude" else Takes()
        self.dropped = Receipt(request, NAME)
        ranges = {**RANGES, "top_k": (0, MOST_TOP_K.get(self._family, inf))}
        narrowed = self.dropped.within(self.dropped.narrowed(request), ranges)
        self._request = with_drawn(narrowed, NAME, self.dropped)

    def body(self) -> Object:
        request = self._request
        refuse(self._request, self._own, API)
        system, messages = Conversation(request, self._takes, self.dropped).parted()
        thinking = self._reasoning()
        sampling = self._sampling(thinking)
        said = {
            "messages": messages,
            "system": system,
            "inferenceConfig": self._inference(thinking, sampling),
            "toolConfig": self._tool_config(),
            "additionalModelRequestFields": self._additional(thinking, sampling.get("top_k")),
            "additionalModelResponseFieldPaths": self._asked_back(thinking),
            "outputConfig": self._output(),
            "requestMetadata": self._labels(),
            "serviceTier": self._tier(),
        }
        self._leave_out()
        body = {key: value for key, value in said.items() if value}
        if not self._own:
            return body
        extra = {key: value for key, value in request.extra.items() if key != SPELT}
        body = merged(merged(merged(body, self._spelt), extra), request.demands)
        if self._family == "claude" and must_not_think(request):
            unthinking(body, self.dropped)
        return body

    def _leave_out(self) -> None:
        """Note the knobs that the wire lacks, except those that are set to do nothing."""
        request = self._request
        self.dropped.lacking(KNOBS_LACKED)
        if request.parallel_tools is False and request.tools and not self._single and not self._own:
            self.dropped.add("parallel_tools")
        if not self._own:
            self.dropped.left(request.extra)

    # knobs

    def _inference(self, thinking: Object, sampling: Object) -> Object:
        request = self._request
        budget = thinking.get("thinking", {}).get("budget_tokens")
        limit = request.max_tokens if budget is None or self._own else room_for(request, budget)
        said = {
            "maxTokens": limit,
            "temperature": sampling.get("temperature"),
            "topP": sampling.get("top_p"),
            "stopSequences": self._stop(),
        }
        return without_nulls(said)

    def _sampling(self, thinking: Object) -> Object:
        """Temperature, top_p and top_k, as far as the model takes them."""
        if self._own:
            reasoning = self._request.reasoning
            return knobs_of(self._request, self._takes, thinks=reasoning is not None and not reasoning.off)
        return sampled(self._request, self._takes, does_think(thinking.get("thinking", {})), self.dropped)

    def _stop(self) -> list[str] | None:
        stop = self._request.stop
        if stop is None or self._own:
            return stop
        solid = [text for text in stop if (text.strip() if self._family == "claude" else text)]  # others are refused
        if len(solid) < len(stop):
            self.dropped.add("stop")
        return solid or None

    def _asked_back(self, thinking: Object) -> list[str]:
        """What Claude says only if asked, and other wires have a field for: the stop string that it met, and how many
        tokens it has thought. A path that the answer lacks is ignored.

        https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
        """
        if self._own or self._family != "claude":
            return []
        told = thinking.get("thinking", {})
        thinks = does_think(told) or (self._takes.thinks and not told)
        return ["/stop_sequence"] * bool(self._request.stop) + ["/usage/output_tokens_details"] * thinks

    def _additional(self, thinking: Object, top_k: int | None) -> Object:
        said, betas = merged(merged(thinking, self._top_k(top_k)), self._single), self._request.betas
        if betas and (self._own or self._family == "claude"):
            return said | {KEY: betas}
        self.dropped.update(["betas"] if betas else [])
        return said

    @property
    def _single(self) -> Object:
        """One call at a time, in Claude's own words, as Converse has none for it.

        They are a tool choice, and a second one beside Converse's own is refused, so they say all of it.
        (https://github.com/BerriAI/litellm/pull/34347 and .../issues/36536)
        """
        request, choice = self._request, self._request.tool_choice or ToolChoice("auto")
        if self._own:  # then it is still where the client put it
            return {}
        if request.parallel_tools is not False or not request.tools or not self._takes.single or choice.mode == "none":
            return {}
        said: Object = {"type": "auto"}
        if self._takes.forced and choice.mode == "required":
            said = {"type": "any"}
        elif self._takes.forced and choice.mode == "tool":
            said = {"type": "tool", "name": choice.name}
        return {"tool_choice": said | {"disable_parallel_tool_use": True}}

    def _top_k(self, value: int | None) -> Object:
        sent = as_object(self._request.extra.get("additionalModelRequestFields"))
        if value is None or (self._own and isinstance(sent.get("inferenceConfig"), Verbatim)):
            return {}  # unsaid, or still where the client put it
        path = ("top_k",) if self._own else TOP_K.get(self._family, ())
        if not path:
            self.dropped.add("top_k")
            return {}
        said: Object = {path[-1]: value}
        for key in path[-2::-1]:
            said = {key: said}
        return said

    def _reasoning(self) -> Object:
        reasoning = self._request.reasoning
        if reasoning is None:
            return {}
        if self._own:
            return {} if self._spelt else said_by_client(reasoning)
        if self._family == "claude":
            return to_claude(self._request, self._takes, self.dropped)
        self.dropped.update(moot(reasoning))
        silent = reasoning.effort is None and reasoning.budget is None and not reasoning.off
        said = {} if silent else said_to(self._family, self._request, reasoning, self.dropped)
        if reasoning.summary is not None:
            self.dropped.add("reasoning.summary")
        if is_undecided(reasoning):
            self.dropped.add("reasoning.adaptive")
        return said

    def _output(self) -> Object:
        """A schema is sent to every model: which of them take it changes by the month, and the others refuse it."""
        shape, reasoning = self._request.format, self._request.reasoning
        effort = reasoning.effort if self._own and not self._spelt and reasoning is not None else None
        output: Object = {} if effort is None else {"effort": effort}
        if shape is None or shape.kind == "text" or self._is_told_to_claude():
            return output
        if shape.schema is None:  # this wire has no JSON mode without a schema
            self.dropped.add("format")
            return output
        named = {"name": shape.name, "description": shape.description}
        held = shape.schema if self._own else held_to(shape.schema, self.dropped, "format.schema")
        schema = {"schema": dump(held).decode()} | {key: text for key, text in named.items() if text}
        return output | {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}

    def _is_told_to_claude(self) -> bool:
        """Is the schema in Claude's own field, where the client put it and parse.py left it?"""
        more = as_object(self._request.extra.get("additionalModelRequestFields")) if self._own else {}
        return isinstance(as_object(more.get("output_config")).get("format"), Verbatim)

    def _labels(self) -> Object:
        labels = self._request.metadata or {}
        if self._own:
            return labels
        fit = {key: text for key, text in labels.items() if _LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(text)}
        kept = dict(list(fit.items())[:_MAX_LABELS])
        if len(kept) < len(labels):
            self.dropped.add("metadata")
        return kept

    def _tier(self) -> Object:
        tier = self._request.service_tier
        if tier is None:
            return {}
        word = tier if self._own else TIERS.get(tier)
        if word is None:
            self.dropped.add("service_tier")
        return {"type": word} if word else {}

    # tools

    def _tool_config(self) -> Object:
        tools, choice = (self._request.tools, self._own_choice()) if self._own else self._offered()
        if not tools and not self._own:
            return {}
        config: Object = {"tools": [block for tool in tools for block in self._tool(tool)]} if tools else {}
        if choice is not None and not self._single:
            words: Object = {"auto": {"auto": {}}, "required": {"any": {}}, "tool": {"tool": {"name": choice.name}}}
            config["toolChoice"] = words[choice.mode]
        return config

    def _own_choice(self) -> ToolChoice | None:
        """The choice, unless it is in Claude's own field, where the client put it and parse.py left it."""
        more = as_object(self._request.extra.get("additionalModelRequestFields"))
        return None if isinstance(more.get("tool_choice"), Verbatim) else self._request.tool_choice

    def _offered(self) -> tuple[list[Tool], ToolChoice | None]:
        """The tools of another wire's request, and the choice among them.

        Converse cannot forbid tools: they are left out then, unless the conversation holds calls. If it does, Converse
        requires tools. Then the choice is left out instead; and where the client offers no tools any more, those that
        were called are named.
        """
        tools, choice, called = self._request.tools, self._request.tool_choice, tools_called(self._request)
        mode = "auto" if choice is None else choice.mode
        if mode == "none" and not called:
            self.dropped.update(["tools"] if tools else [])
            return [], None
        if mode == "none" or (mode in ("required", "tool") and not self._takes.forced):
            self.dropped.add("tool_choice")
            choice = None
        if not tools and called:
            self.dropped.add("tools")
            tools = called
        return tools, choice

    def _tool(self, tool: Tool) -> list[Object]:
        """The tool's block, and its cachePoint."""
        block = self._server_tool(tool) if tool.kind != "function" else {"toolSpec": self._tool_spec(tool)}
        if tool.cache is None:
            return [block]
        if not self._own and self._family not in CACHES_TOOLS:
            self.dropped.uncached(tool.cache)
            return [block]
        return [block, cache_point(tool.cache, self.dropped)]

    def _server_tool(self, tool: Tool) -> Object:
        if not self._own:
            raise foreign_tool(tool, API)
        return tool.extra

    def _tool_spec(self, tool: Tool) -> Object:
        if not self._own:
            self.dropped.left(tool.extra)
        spec: Object = {"name": tool.name}
        if tool.description or (self._own and tool.description is not None):
            spec["description"] = tool.description
        schema = tool.parameters or {}
        if not self._own:  # every model wants an object
            schema = {"type": "object", **(tool.parameters or {"properties": {}})}
            if self._family == "claude" and (one := rooted(schema)) is not None:
                self.dropped.add("tool.schema")
                schema = one
            schema = held_to(schema, self.dropped, "tool.strict") if tool.strict else schema
        spec["inputSchema"] = {"json": schema}
        if tool.strict or (self._own and tool.strict is not None):
            spec["strict"] = tool.strict
        return merged(spec, tool.extra) if self._own else spec
