"""How does this wire say how sure the model was of each token?

https://ai.google.dev/api/generate-content#LogprobsResult; our own entries are OpenAI's.
"""

from typing import Any

from proxy.grammar.fields import Object, as_list, as_object, as_text, is_number


def logprobs_of(candidate: Object) -> list[Any]:
    told = as_object(candidate.get("logprobsResult"))
    best = as_list(told.get("topCandidates"))
    entries = []
    for place, chosen in enumerate(as_list(told.get("chosenCandidates"))):
        others = as_object(best[place]).get("candidates") if place < len(best) else None
        top = [_entry(as_object(other)) for other in as_list(others)]
        entries.append(_entry(as_object(chosen)) | {"top_logprobs": top})
    return entries


def _entry(said: Object) -> Object:
    token, value = as_text(said.get("token")), said.get("logProbability")
    return {
        "token": token,
        "logprob": value if is_number(value) else 0.0,
        "bytes": list(token.encode(errors="replace")),
    }


def logprobs_result(entries: list[Any]) -> Object:
    """`logprobsResult`; empty where there are no entries."""
    told = [as_object(entry) for entry in entries]
    if not told:
        return {}
    best = [{"candidates": [_chosen(as_object(one)) for one in as_list(entry.get("top_logprobs"))]} for entry in told]
    return {"logprobsResult": {"chosenCandidates": [_chosen(entry) for entry in told], "topCandidates": best}}


def _chosen(entry: Object) -> Object:
    return {"token": as_text(entry.get("token")), "logProbability": entry.get("logprob")}
