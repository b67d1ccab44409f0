"""Where does one event end and the next begin?

Sans-I/O framers for the ways in which providers frame an answer. Bytes go in as they come, split anywhere; whole frames
come out.

    lines        newline-delimited JSON
    events       Server-Sent Events
    eventstream  AWS's events, in binary
    body         an answer that comes whole
    gates        how far a stream may be handed on
    bounds       how long a frame may be
"""

from proxy.framing.body import Body
from proxy.framing.bounds import LONGEST_LINE, MAX_EVENT, MAX_FRAME, MAX_WHOLE, FrameTooLong, Unframed
from proxy.framing.events import Batches, Frame, ServerSentEvents, check_json, data_of, frame_of, has_sse, sse
from proxy.framing.lines import Lines, NewlineDelimited

__all__ = [
    "LONGEST_LINE",
    "MAX_EVENT",
    "MAX_FRAME",
    "MAX_WHOLE",
    "Batches",
    "Body",
    "Frame",
    "FrameTooLong",
    "Lines",
    "NewlineDelimited",
    "ServerSentEvents",
    "Unframed",
    "check_json",
    "data_of",
    "frame_of",
    "has_sse",
    "sse",
]
