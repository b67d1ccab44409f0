"""What is a client told if a wire cannot carry what it asks for, or what it was answered?

Content is refused where it stands. An answer of another kind than the client wants is useless: one where it asked for
several, or text where it asked for something else. And a demand in the words of its own wire means nothing to another.

`api`: what people call the wire's API (nouns.py).
"""

from proxy.canon import Part, Request, Tool, ToolCall
from proxy.envelope import parse_object
from proxy.errors import BadRequest, Unrepresentable
from proxy.grammar.arguments import NONE, malformed
from proxy.grammar.fields import Object, paths
from proxy.grammar.nouns import noun_of
from proxy.grammar.receipts import Receipt


def refuse(request: Request, own: bool, api: str) -> None:
    """For a wire that gives one answer, in text. `own`: the request came on it. Raises Unrepresentable."""
    refuse_several(request, api)
    refuse_beyond_text(request, api)
    if not own:
        refuse_demands(request, api)


def refuse_demands(request: Request, api: str) -> None:
    """For a request from another wire; a demand for a tool where there are none counts too. Raises Unrepresentable."""
    for at in paths(request.demands):
        raise Unrepresentable(f"{at}: {api} has no equivalent of this field.", param=at)
    choice = request.tool_choice
    if choice is not None and choice.mode in ("required", "tool") and not request.tools:
        at = request.name_of("tool_choice")
        raise Unrepresentable(f"{at} requires a tool call, but the request offers no tools.", param=at)


def refuse_several(request: Request, api: str) -> None:
    """For a wire that gives one answer. Raises Unrepresentable."""
    if request.n not in (None, 1):
        at = request.name_of("n")
        raise Unrepresentable(f"{at} must be 1, not {request.n}: {api} gives one answer per request.", param=at)


def refuse_beyond_text(request: Request, api: str) -> None:
    """For a wire that answers in text. Raises Unrepresentable."""
    if request.modalities and (others := set(request.modalities) - {"text"}):
        at = request.name_of("modalities")
        raise Unrepresentable(f"{at}: {api} can return only text, not {min(others)}.", param=at)


def says_nothing(request: Request, api: str) -> Unrepresentable:
    """The error for a request without any message, but perhaps with a system prompt."""
    at = request.name_of("turns")
    message = f"{at}: {api} needs at least one message that is neither empty nor a system prompt."
    return Unrepresentable(message, param=at)


# --- a part of it ----------------------------------------------------------------------------------------------------


def unaccepted(part: Part, api: str, what: str) -> Unrepresentable:
    """`what`: the part's noun, perhaps with the place where it stands."""
    return Unrepresentable(f"{part.at}: {api} does not accept {what}.", param=part.at)


def stored_elsewhere(at: str) -> Unrepresentable:
    """The error for a file that is stored at another provider."""
    what = "refers to a file stored by another provider: send its bytes, or use the provider that stores it"
    return Unrepresentable(f"{at} {what}.", param=at)


def foreign_tool(tool: Tool, api: str) -> Unrepresentable:
    """The error for a vendor's own tool, be it the target's."""
    what = f"a tool of type {tool.kind} cannot be translated for {api}, only functions can"
    return Unrepresentable(f"{tool.at}: {what}.", param=tool.at)


def free_text(call: ToolCall, api: str) -> Unrepresentable:
    return unaccepted(call, api, f"free text as the input of {call.name}, only JSON")


def arguments_for(call: ToolCall, api: str, dropped: Receipt) -> Object:
    """The arguments, for a wire on which they are an object. Raises Unrepresentable.

    A model may have written something else, or been cut off, and its app goes on with the error that its tool gave:
    where arguments are text, nobody minds. So that text is told as it is, as it is to a client (arguments.py).
    """
    if call.kind == "custom":
        raise free_text(call, api)
    if call.arguments in NONE:
        return {}
    try:
        return parse_object(call.arguments.encode(), is_part=True)
    except (BadRequest, UnicodeEncodeError):
        dropped.add("tool_call.arguments")
        return malformed(call.arguments)


# --- an answer -------------------------------------------------------------------------------------------------------


def unsayable(part: Part, api: str, at: str | None = None) -> Unrepresentable:
    """`at`: where in the answer it would stand."""
    return Unrepresentable(f"The provider's answer contains {noun_of(part)}, which {api} has no place for.", param=at)
