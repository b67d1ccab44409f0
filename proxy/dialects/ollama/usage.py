"""How many tokens did Ollama count, and how is that told to a client?

`eval_count` includes the tokens of thoughts, and no field tells them apart. For a prompt that Ollama had cached the
count may be zero or missing. The durations go to `extra`, as no other wire has names for them.
"""

from proxy.canon import Usage
from proxy.dialects.ollama.words import DURATIONS
from proxy.grammar.counts import are_counts, count_of, is_null_beside
from proxy.grammar.fields import Object, without_nulls

_COUNTS = ("prompt_eval_count", "eval_count")


def usage_of(line: Object) -> Usage | None:
    """None if nothing was counted, as when a model was only loaded."""
    read, written = (line.get(key) for key in _COUNTS)
    if read is None and written is None:
        return None
    told = {key: _duration(line.get(key)) for key in DURATIONS}
    return Usage(
        input=count_of(read),
        output=count_of(written),
        is_odd=not are_counts(line, _COUNTS) or is_null_beside(line, *_COUNTS),
        extra=without_nulls(told),
    )


def _duration(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def usage_fields(usage: Usage | None, measured: Object) -> Object:
    """`measured`: the durations that we saw, in place of those that the provider did not report."""
    told = {} if usage is None else usage.extra
    both = measured | told
    fields = {key: both[key] for key in DURATIONS if key in both}
    if usage is not None:
        fields |= {"prompt_eval_count": usage.total_input, "eval_count": usage.total_output}
    return fields
