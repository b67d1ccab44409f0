"""How is a Request said to Google?

The mirror of parse.py. The model and the verb go into the path, which the adapter makes. Knobs that this wire lacks are
dropped and named in the receipt; content that it cannot carry is refused with its path.
"""

from proxy.canon import Request, Tool
from proxy.dialects.gemini.encode_parts import Contents
from proxy.dialects.gemini.schema import gemini_schema
from proxy.dialects.gemini.thinking import as_said, generation, thinking_config
from proxy.dialects.gemini.words import (
    API,
    COUNTS,
    ENUM,
    KNOBS_LACKED,
    MODE_WORDS,
    MOST_STOPS,
    NAME,
    NUMBERS,
    RANGES,
    SEARCH,
    SEEDS,
    TIERS,
)
from proxy.grammar.fields import Object, merged, without_nulls
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import refuse_demands
from proxy.grammar.searching import chooses_search, sought
from proxy.grammar.shapes import in_words, labelled


class Encoding:
    """One request on its way to the wire."""

    def __init__(self, request: Request) -> None:
        self._own = request.wire == NAME  # then its `extra` is valid here
        self.dropped = Receipt(request, NAME)
        self._request = self.dropped.within(request, RANGES)

    def body(self) -> Object:
        request = self._request
        if not self._own:
            refuse_demands(request, API)
        said = {
            **Contents(request, self.dropped).said(),
            "tools": self._tools(),
            "toolConfig": self._tool_config(),
            "generationConfig": self._config(),
            "serviceTier": self._tier(),
        }
        form = request.format
        if form is not None and form.kind != "text" and not self._binds():
            self._tell(said, in_words(form, self.dropped))
        body = {key: value for key, value in said.items() if value}
        if not self._own:
            self._receipt()
            return body
        kept = {"labels": request.metadata, "store": request.store}
        body |= without_nulls(kept)
        return merged(merged(body, request.extra), request.demands)

    def _tell(self, said: Object, order: str) -> None:
        """Say it as the system's, or where that cannot be said as the user's."""
        contents = said["contents"]
        if "uninstructed" not in self._request.ways:
            said["systemInstruction"].setdefault("parts", []).append({"text": order})
        elif contents and contents[-1]["role"] == "user":
            contents[-1]["parts"].append({"text": order})
        else:
            contents.append({"role": "user", "parts": [{"text": order}]})

    def _receipt(self) -> None:
        """Note what the client said and this wire cannot say."""
        request = self._request
        self.dropped.left(request.extra)
        self.dropped.lacking(KNOBS_LACKED)
        if request.store:
            self.dropped.add("store")
        if request.parallel_tools is False:
            self.dropped.add("parallel_tools")

    def _tier(self) -> str | None:
        tier = self._request.service_tier
        if tier is None or self._own:
            return None if tier is None else TIERS.get(tier) or tier
        if tier not in TIERS:
            self.dropped.add("service_tier")
        return TIERS.get(tier)

    # generationConfig

    def _config(self) -> Object:
        request = self._request
        knobs = {key: getattr(request, name) for name, key in (NUMBERS | COUNTS).items()}
        if not self._own:
            knobs["seed"] = self._seed()
        said = {
            **knobs,
            "stopSequences": self._stop(),
            "responseLogprobs": request.logprobs,
            "responseModalities": self._modalities(),
            **self._format(),
            "thinkingConfig": self._thinking(),
        }
        return without_nulls(said)

    def _stop(self) -> list[str] | None:
        stop = self._request.stop
        return stop if self._own else self.dropped.stops(stop, MOST_STOPS)

    def _seed(self) -> int | None:
        """Google's is an int32. A longer one is folded, so that the same seed stays the same."""
        seed = self._request.seed
        if seed is None or -SEEDS <= seed < SEEDS:
            return seed
        self.dropped.add("seed")
        return seed % SEEDS

    def _modalities(self) -> list[str] | None:
        asked = self._request.modalities
        if asked is None or (not self._own and asked == ["text"]):
            return None
        return [word.upper() for word in asked]

    def _format(self) -> Object:
        """Any schema fits into `responseJsonSchema`, so that the older subset of OpenAPI is not needed here."""
        form = self._request.format
        if form is None:
            return {}
        if form.kind == "text":
            return {"responseMimeType": "text/plain"} if self._own else {}
        if not self._binds():
            return {}
        said: Object = {"responseMimeType": ENUM if form.bare else "application/json"}
        if form.schema is not None:
            said["responseJsonSchema"] = labelled(form, self.dropped)
        return said

    def _binds(self) -> bool:
        """May the answer be held to its shape? Before Gemini 3 not beside tools, which is how agents ask: "Function
        calling with a response mime type: 'application/json' is unsupported".
        """
        request = self._request
        if "shapeless" in request.ways:
            return False
        return self._own or not request.tools or generation(request.model) >= (3, 0)

    def _thinking(self) -> Object | None:
        return as_said(self._request) if self._own else thinking_config(self._request, self.dropped)

    # tools

    def _tools(self) -> list[Object]:
        """The functions are one entry, at the place of the first; each of Google's own tools is another."""
        tools: list[Object] = []
        functions: list[Object] = []
        for tool in self._request.tools:
            if tool.kind != "function":
                if (own := self._server_tool(tool)) is not None:
                    tools.append(own)
                continue
            if not functions:
                tools.append({"functionDeclarations": functions})
            functions.append(self._function(tool))
        return tools

    def _server_tool(self, tool: Tool) -> Object | None:
        """None where the client's choice is to call no tool: Google's `NONE` is only about functions."""
        if self._own:
            return tool.extra
        choice = self._request.tool_choice
        sought(tool, self._request, API, self.dropped, says=())
        return None if choice is not None and choice.mode == "none" else {SEARCH: {}}

    def _function(self, tool: Tool) -> Object:
        said: Object = {"name": tool.name}
        if tool.description is not None:
            said["description"] = tool.description
        if tool.parameters is not None:
            subset = gemini_schema(tool.parameters)
            key = "parametersJsonSchema" if subset is None else "parameters"
            said[key] = tool.parameters if subset is None else subset
        if self._own:
            return said | tool.extra
        self.dropped.left(tool.extra)
        if tool.strict:
            self.dropped.add("tool.strict")
        if tool.cache is not None:
            self.dropped.uncached(tool.cache)
        return said

    def _tool_config(self) -> Object:
        config = self._calling()
        return config | {"includeServerSideToolInvocations": True} if self._combines() else config

    def _combines(self) -> bool:
        """Is there a tool of Google's beside functions, at a host that wants this said?

        https://ai.google.dev/gemini-api/docs/tool-combination: from Gemini 3 on, and not on Vertex AI.
        """
        request = self._request
        offers_none = request.tool_choice is not None and request.tool_choice.mode == "none"
        kinds = {tool.kind == "function" for tool in request.tools}
        return "combined" in request.ways and len(kinds) == 2 and not offers_none

    def _calling(self) -> Object:
        choice = self._request.tool_choice
        if choice is None or (not self._own and not self._request.tools):
            return {}  # a choice among no tools changes nothing, and Google refuses some
        if not self._own and not any(tool.kind == "function" for tool in self._request.tools):
            if choice.mode in ("required", "tool"):  # Google searches where it sees fit
                self.dropped.add("tool_choice")
            return {}
        if not self._own and chooses_search(self._request):
            self.dropped.add("tool_choice")
            return {}
        among = list(choice.among) if choice.name is None else [choice.name]
        checked = choice.mode == "auto" and (among or self._combines())  # AUTO has no names, nor other tools beside it
        mode = "VALIDATED" if checked else MODE_WORDS[choice.mode]
        calling: Object = {"mode": mode}
        if among:
            calling["allowedFunctionNames"] = among
        return {"functionCallingConfig": calling}
