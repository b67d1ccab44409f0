"""What is a chat request, and what is an answer, whatever wire it came on?

The canonical form is nobody's wire format. A field enters it when two wires can carry it; until then it is in `extra`,
under the name that its own wire gives it. A dialect turns bytes into these values and back; nothing here knows how any
vendor spells them.

An answer is a sentence of events:

    Start (Open Delta* Close)* Usage* Finish

Blocks may interleave, and a Usage may come at any time after Start: the last one counts. A whole answer is the same
sentence said at once: `fold` sums it, and there is no second path. With several choices (`n` > 1) every block says
which choice it belongs to, and the one Finish carries a Stop for each.
"""

from proxy.canon.events import (
    BUCKETS,
    NO_USAGE,
    Choice,
    Close,
    Completion,
    Delta,
    Event,
    Finish,
    Iteration,
    Open,
    Reason,
    Start,
    Stop,
    Usage,
)
from proxy.canon.parts import (
    Audio,
    Citation,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Place,
    Refusal,
    Remote,
    Source,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Unit,
    Video,
)
from proxy.canon.request import Format, Reasoning, Request, Role, Tool, ToolChoice, Turn, Way, WebSearch
from proxy.canon.sentences import Ungrammatical, fold, grammatical, unfold

__all__ = [
    "BUCKETS", "NO_USAGE", "Audio", "Choice", "Citation", "Close", "Completion", "Delta", "Document", "Event", "Finish",
    "Format", "Image", "Inline", "Iteration", "Opaque", "Open", "Part", "Place", "Reason", "Reasoning", "Refusal",
    "Remote", "Request", "Role", "Source", "Start", "Stop", "Stored", "Text", "Thinking", "Tool", "ToolCall",
    "ToolChoice", "ToolResult", "Turn", "Ungrammatical", "Unit", "Usage", "Video", "Way", "WebSearch", "fold",
    "grammatical", "unfold",
]  # fmt: skip
