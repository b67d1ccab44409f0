"""How is a Request said to Anthropic?

The mirror of parse.py. A request that came in this wire goes out as it came. One from another wire is made valid for
its model: knobs that the wire or the model lacks are dropped and named in the receipt; what cannot be carried is
refused with its path.
"""

import re
from hashlib import sha256

from proxy.canon import Request, Tool
from proxy.dialects.anthropic.blocks import Blocks
from proxy.dialects.anthropic.messages import as_they_came, in_order, parted
from proxy.dialects.anthropic.thinking import plan_as_asked, unthinking
from proxy.dialects.anthropic.words import API, CACHE_POINTS, FIRST_SEARCH, KNOBS_LACKED, MODE_WORDS, NAME, TIERS
from proxy.grammar.claude.betas import KEY
from proxy.grammar.claude.budgets import is_claude, must_not_think
from proxy.grammar.claude.models import RANGES, does_think, knobs_of, sampled, takes_of
from proxy.grammar.claude.plan import plan
from proxy.grammar.fields import Object, as_list, merged
from proxy.grammar.offers import tools_called
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import refuse, says_nothing
from proxy.grammar.roots import rooted
from proxy.grammar.searching import chooses_search, located, sought
from proxy.grammar.shapes import held_to, labelled
from proxy.grammar.showing import with_drawn

_is_email = re.compile(r"[^@\s]{1,64}@[^@\s]+").search


class Encoding:
    """One request on its way to the wire. `claude`: its model is Anthropic's, whatever its name."""

    def __init__(self, request: Request, claude: bool = False) -> None:
        self._own = request.wire == NAME  # then its `extra` is valid here
        self._claude = claude or is_claude(request.model)
        self._takes = takes_of(request.model)
        self._plan = plan_as_asked(request) if self._own else plan(request, self._takes)
        self.dropped = Receipt(request, NAME)
        narrowed = self.dropped.within(self.dropped.narrowed(request), RANGES)
        self._request = with_drawn(narrowed, NAME, self.dropped)
        self.dropped.update(self._plan.moved)
        self._blocks = Blocks(self._own, self._claude, self.dropped)

    def body(self) -> Object:
        request = self._request
        refuse(self._request, self._own, API)
        system, turns = parted(request.turns, self._own)
        said = {
            "system": [block for turn in system for block in self._blocks.of(turn)],
            "stream": request.stream,
            **self._offered(),
            "metadata": {} if request.user is None else {"user_id": self._user(request.user)},
            "service_tier": self._tier(),
            "output_config": self._output(),
            "thinking": self._plan.thinking,
            KEY: request.betas,
        }
        body: Object = {"model": request.model, "max_tokens": self._plan.max_tokens, "messages": []}
        body |= {key: value for key, value in said.items() if value} | self._stop() | self._sampling()
        self._leave_out()
        if self._own:
            body["messages"] = as_they_came(turns, self._blocks)
            body = merged(body, request.extra | request.demands)
            if self._claude and must_not_think(request):
                unthinking(body, self.dropped)
            return body
        body["messages"] = in_order(turns, self._blocks, self._takes)
        if not body["messages"]:
            raise says_nothing(request, API)
        self._thin_out(body)
        return body

    def _leave_out(self) -> None:
        """Note the knobs that the wire lacks, except those that ask for what is so anyway."""
        self.dropped.lacking(KNOBS_LACKED)
        if not self._own:
            self.dropped.left(self._request.extra)

    def _thin_out(self, body: Object) -> None:
        """Keep only the last cache points if there are too many: each covers all that stands before it."""
        for block in _cached(body)[:-CACHE_POINTS]:
            del block["cache_control"]
            self.dropped.add("cache")

    # knobs

    def _stop(self) -> Object:
        stop = self._request.stop
        if stop is None or self._own:
            return {} if stop is None else {"stop_sequences": stop}
        solid = [text for text in stop if text.strip()]  # the wire refuses blank ones
        if len(solid) < len(stop):
            self.dropped.add("stop")
        return {"stop_sequences": solid} if solid else {}

    def _sampling(self) -> Object:
        thinks = does_think(self._plan.thinking)
        if self._own:
            return knobs_of(self._request, self._takes, thinks)
        return sampled(self._request, self._takes, thinks, self.dropped)

    def _user(self, user: str) -> str:
        """Who asks. What looks like an email address is refused, and a digest tells users apart as well.

        https://github.com/BerriAI/litellm/issues/10106
        """
        if self._own or not _is_email(user):
            return user
        self.dropped.add("user")
        return sha256(user.encode()).hexdigest()

    def _tier(self) -> str | None:
        tier = self._request.service_tier
        if tier is None or self._own:
            return None if tier is None else TIERS.get(tier, tier)
        if tier not in TIERS:
            self.dropped.add("service_tier")
        return TIERS.get(tier)

    def _output(self) -> Object:
        """The format is where the SDK's GA types have it. This wire has no JSON mode without a schema."""
        shape, effort = self._request.format, self._plan.effort
        output: Object = {} if effort is None else {"effort": effort}
        if shape is None or shape.kind == "text":
            return output
        if shape.schema is None:
            self.dropped.add("format")
            return output
        schema = shape.schema if self._own else held_to(labelled(shape, self.dropped), self.dropped, "format.schema")
        return output | {"format": {"type": "json_schema", "schema": schema}}

    # tools

    def _offered(self) -> Object:
        """The tools, and the choice among them. Where a host wants some beside calls, and the client offers none any
        more, those that were called are named, and not to be called.
        """
        tools = self._request.tools
        if not (tools or self._own) and "offering" in self._request.ways and (called := tools_called(self._request)):
            self.dropped.add("tools")
            return {"tools": [self._tool(tool) for tool in called], "tool_choice": {"type": "none"}}
        return {"tools": [self._tool(tool) for tool in tools], "tool_choice": self._tool_choice()}

    def _tool(self, tool: Tool) -> Object:
        if tool.kind != "function":
            return tool.extra if self._own else self._search(tool)
        block: Object = {"name": tool.name, "input_schema": tool.parameters or {}}
        if not self._own:  # the wire insists on a schema, and on `type` in it
            schema = {"type": "object", **(tool.parameters or {"properties": {}})}
            if self._claude and (one := rooted(schema)) is not None:
                self.dropped.add("tool.schema")
                schema = one
            block["input_schema"] = held_to(schema, self.dropped, "tool.strict") if tool.strict else schema
        if tool.description is not None:
            block["description"] = tool.description
        if tool.strict or (self._own and tool.strict is not None):
            block["strict"] = tool.strict
        return self._blocks.marked(block, tool)

    def _search(self, tool: Tool) -> Object:
        search = sought(tool, self._request, API, self.dropped, says=("allowed", "blocked", "place", "most"))
        told = {
            "allowed_domains": search.allowed,
            "blocked_domains": search.blocked,
            "user_location": located(search),
            "max_uses": search.most,
        }
        return {"type": FIRST_SEARCH, "name": "web_search"} | {key: value for key, value in told.items() if value}

    def _tool_choice(self) -> Object | None:
        choice, parallel = self._request.tool_choice, self._request.parallel_tools
        mode = "auto" if choice is None else choice.mode
        single = parallel is not None if self._own else parallel is False and mode != "none"
        if choice is None and not single:
            return None
        if not self._own:
            if not self._request.tools and mode in ("auto", "none"):
                return None  # the wire refuses a choice among no tools, and this one changes nothing
            if mode in ("required", "tool") and not self._takes.forced:
                self.dropped.add("tool_choice")
                choice, mode = None, "auto"
        block: Object = {"type": MODE_WORDS[mode]}
        if choice is not None and choice.name is not None:
            block["name"] = "web_search" if chooses_search(self._request) and not self._own else choice.name
        return block | ({"disable_parallel_tool_use": not parallel} if single else {})


def _cached(body: Object) -> list[Object]:
    """The blocks that have a cache point, in the order of the prompt."""
    blocks = [*body.get("tools", ()), *body.get("system", ())]
    for block in (block for message in body["messages"] for block in message["content"]):
        inner = as_list(block.get("content")) if block["type"] == "tool_result" else []
        blocks += [*inner, block]
    return [block for block in blocks if "cache_control" in block]
