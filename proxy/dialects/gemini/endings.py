"""How does an answer of generateContent end, and what does Google say about its end and its prompt?"""

from collections.abc import Iterable

from proxy.canon import Start, Stop
from proxy.dialects.gemini.words import NAME, REASONS, STOP_WORDS
from proxy.grammar.endings import declined
from proxy.grammar.fields import Object, as_object


def ending_of(stop: Stop, refused: bool, start: Start) -> Object:
    """The ending of a candidate: Google's own word as it came, known or not, and what else it said; for another wire's
    word the nearest.
    """
    stop = declined(stop, refused)
    is_new = stop.reason == "other" and stop.raw.replace("_", "").isalpha() and stop.raw.isupper()
    word = stop.raw if stop.raw in REASONS or is_new else STOP_WORDS[stop.reason]
    if start.wire == NAME:
        return {"finishReason": word} | {key: value for key, value in stop.extra.items() if key != "promptFeedback"}
    untold = stop.reason == "other" and stop.raw not in ("", word)
    why = stop.why or (stop.raw if untold else "")
    return {"finishReason": word} | ({"finishMessage": why} if why else {})


def feedback_of(start: Start) -> Object:
    """What Google said about the prompt before the answer."""
    feedback = as_object(start.extra.get("promptFeedback")) if start.extra else None
    return {"promptFeedback": feedback} if feedback else {}


def late_feedback(start: Start, stops: Iterable[Stop]) -> Object:
    """What Google said about the prompt once the answer had begun."""
    if start.wire != NAME:
        return {}
    said = [stop.extra["promptFeedback"] for stop in stops if "promptFeedback" in stop.extra]
    return {"promptFeedback": said[-1]} if said else {}


def is_blocked(start: Start, stops: Iterable[Stop], said: bool) -> bool:
    """Was the prompt blocked? Then the answer has no candidates."""
    reason = as_object(start.extra.get("promptFeedback")).get("blockReason") if start.extra else None
    return bool(reason) and not said and {stop.reason for stop in stops} == {"content_filter"}
