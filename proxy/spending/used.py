"""How much did an attempt use, as far as anybody knows?

What the provider has counted counts, where it can be true. What it left out is estimated: what was read by the length
of the request, what was written by the length of what was heard, and an answer that may be billed though nobody heard
a word of it by the length that it was allowed.
"""

from msgspec.structs import replace

from proxy.canon import NO_USAGE, Usage
from proxy.errors import BadRequest, Down, UpstreamError
from proxy.ports import Call, Target
from proxy.spending.extent import said_lengths
from proxy.spending.heard import tokens_of
from proxy.spending.tokens import ANSWER, BYTES_PER_TOKEN
from proxy.store import ABSURD, ESTIMATED


def used(call: Call, error: BaseException | None) -> tuple[Usage, int]:
    """By the last attempt, which ended with this error or without; and why that is doubtful, in a row's flags."""
    usage = call.usage
    if is_refusal(error):
        return usage or NO_USAGE, 0
    if usage is None or error is not None or usage.is_odd:
        return _estimated(call, error)
    if usage.is_guess:
        return usage, ESTIMATED
    read, written = usage.total_input, usage.total_output
    if (read and written) or (usage.beside and not (read or written)):  # only what is beside it ran
        return usage, 0
    if not (read or written):
        return _estimated(call, error)
    filled = _filled(usage, _heard(call))  # nobody reads nothing, or says something in no tokens
    return filled, 0 if filled is usage else ESTIMATED


def _estimated(call: Call, error: BaseException | None) -> tuple[Usage, int]:
    """By what was heard, where the provider has counted nothing, or not to the end, or what cannot be true."""
    usage = call.usage
    heard, doubts = _heard(call), ESTIMATED | (ABSURD if usage is not None and usage.is_odd else 0)
    if is_unheard(call, error):
        assert call.target is not None
        heard = replace(heard, output=unheard(call, call.target))
    if usage is None or not (usage.total_input or usage.total_output or usage.beside):
        return heard, doubts
    usage = _no_shorter(usage, heard)
    if usage.total_input < heard.input and (usage.is_odd or not usage.total_input):
        usage = replace(usage, input=usage.input + heard.input - usage.total_input)
    return usage, doubts


def used_so_far(call: Call) -> Usage:
    """By the attempt under way. A count that came with its beginning says nothing of what was written since."""
    heard = _heard(call)
    return _no_shorter(call.usage or heard, heard)


def is_refusal(error: BaseException | None) -> bool:
    """Has the provider refused the request? Then it bills nothing for it."""
    return isinstance(error, UpstreamError) and (error.upstream_status or 0) >= 400


def is_unheard(call: Call, error: BaseException | None) -> bool:
    """Was an answer to come whole, of which nobody heard a word? Unless the provider broke it off, it may be billed."""
    is_over = isinstance(error, Down) or is_refusal(error)
    return not (call.stream or is_over or tokens_of(call.heard, call.dialect, call.stream))


def unheard(call: Call, target: Target) -> int:
    """Tokens of an answer of which nobody has heard a word: a guess, and no more than it was allowed."""
    try:
        most = said_lengths(call.envelope, call.dialect.bounds).least
    except BadRequest:  # of a length that nobody can read
        return ANSWER
    if most is None:
        most = target.adapter.hints(target.model).max_tokens
    return most if most is not None and most < ANSWER else ANSWER


def _heard(call: Call) -> Usage:
    """An estimate, by the length of what was asked and of what was heard."""
    written = tokens_of(call.heard, call.dialect, call.stream)
    return Usage(input=len(call.envelope.body) // BYTES_PER_TOKEN, output=written)


def _no_shorter(usage: Usage, heard: Usage) -> Usage:
    """With no less written than was heard."""
    if usage.total_output >= heard.output:
        return usage
    return replace(usage, output=heard.output, reasoning=0, audio_output=0)


def _filled(usage: Usage, heard: Usage) -> Usage:
    """With an estimate for what was not counted at all."""
    if not usage.total_input:
        return replace(usage, input=heard.input)
    return replace(usage, output=heard.output) if heard.output else usage
