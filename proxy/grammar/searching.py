"""How does a request for a web search get to a provider of another wire?

Four wires have one, each as a tool of its vendor's or as a field: `web_search` (Responses), `web_search_options` (Chat
Completions), `web_search_20250305` and later (Anthropic), `googleSearch` (Gemini). See docs/decisions/0030-searching.md
"""

from collections.abc import Collection

from proxy.canon import Request, Tool, WebSearch
from proxy.errors import Unrepresentable
from proxy.grammar.fields import Fields, Object
from proxy.grammar.receipts import Receipt
from proxy.grammar.refusals import foreign_tool

_POINT = "cachePoint"  # one that marks no tool: it stands before them all, or behind another
PLACE = ("city", "region", "country", "timezone")
_LIMITS = ("allowed", "blocked")  # of WebSearch: where it may look
_WISHES = ("place", "most", "size")


def place_in(fields: Fields) -> Object | None:
    """Where the user is, as `{"type": "approximate", "city": ...}`. A place of another type stays."""
    value = fields.rest.get("user_location")
    if not isinstance(value, dict) or value.get("type") not in (None, "approximate"):
        return None
    outer = Fields(fields.rest.pop("user_location"), fields.path("user_location"))
    inner = outer.inner("approximate") if "approximate" in outer.rest else outer  # so Chat Completions nests it
    return {key: said for key in PLACE if (said := inner.text(key))} or None


def sought(tool: Tool, request: Request, api: str, dropped: Receipt, says: Collection[str]) -> WebSearch:
    """The search that a tool of another wire stands for. `says`: the fields for which this wire has words. A wish that
    is not among them gets a receipt; a limit is no wish. Raises Unrepresentable.
    """
    search = tool.search
    if search is None:
        raise foreign_tool(tool, api)
    if not request.searches:
        message = (
            f"{tool.at}: a tool of type {tool.kind} is not translated for {api}. If the provider runs a web search, the"
            " operator can set its `searches: true`."
        )
        raise Unrepresentable(message, param=tool.at)
    if limit := next((each for each in _LIMITS if each not in says and getattr(search, each)), ""):
        domains = "allowed domains" if limit == "allowed" else "blocked domains"
        message = f"{tool.at}: {api} cannot keep a web search to the {domains} that the request names."
        raise Unrepresentable(message, param=tool.at)
    dropped.update(f"search.{wish}" for wish in _WISHES if wish not in says and getattr(search, wish))
    dropped.left(search.rest)
    return search


def leave_kept(request: Request) -> list[str]:
    """Offer no search that may only read what its own vendor has kept of the web, since nobody else has that, nor one
    for tools, since all of them are on offer; nor what Bedrock lists among the tools and is none. The names for the
    receipt.
    """
    left = [tool for tool in request.tools if _is_of_its_vendor(tool)]
    if not left:
        return []
    request.tools = [tool for tool in request.tools if tool not in left]
    names = [tool.kind for tool in left]
    if any(map(_finds, left)):
        names.append("tools")
    choice = request.tool_choice
    chosen = choice is not None and choice.name in [tool.name for tool in left]
    if chosen or (choice is not None and not request.tools):  # there is nothing to choose from
        request.tool_choice = None
        names.append(request.name_of("tool_choice"))
    return names


def _is_of_its_vendor(tool: Tool) -> bool:
    return _finds(tool) or tool.kind == _POINT or (tool.search is not None and tool.search.kept)


def _finds(tool: Tool) -> bool:
    """OpenAI's `tool_search` may be run by the client, which then knows of tools that are not on offer yet."""
    return tool.kind.startswith("tool_search") and tool.extra.get("execution") != "client"


def located(search: WebSearch) -> Object | None:
    """The place as Responses and Anthropic have it."""
    return None if search.place is None else {"type": "approximate", **search.place}


def chooses_search(request: Request) -> bool:
    """Is the tool that must be called a search?"""
    choice = request.tool_choice
    if choice is None or choice.mode != "tool":
        return False
    return any(tool.search is not None and tool.name == choice.name for tool in request.tools)
