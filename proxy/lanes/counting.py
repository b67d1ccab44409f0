"""How many tokens has this request, before it is sent?

By the provider where it can count, in whichever of the two wires that know the question; else by an estimate, which
says that it is one in `x-pillion-estimated`.
"""

from proxy import headers
from proxy.errors import Unsupported
from proxy.lanes.asking import ask, query_of, timed
from proxy.lanes.estimate import estimate
from proxy.lanes.fetching import Fetching
from proxy.ports import Call, Counting, Dialect, Outgoing, Peek, Reply, Target
from proxy.seals import unseal

LIMIT = 1024 * 1024  # bytes of a provider's count

_JSON = ("content-type", "application/json")


async def count(call: Call, target: Target, dialect: Dialect, fetching: Fetching) -> Reply:
    """`dialect` is the provider's. Raises GatewayError."""
    client, own = call.dialect, dialect is call.dialect
    if not isinstance(client, Counting):
        raise Unsupported(f"Nobody counts tokens on the {client.name} wire.")
    request = client.count_parse(call.envelope.body, Peek(call.model, stream=False))
    request.model = target.model
    foreign = unseal(request, target.adapter.name, own_wire=own)
    if not (target.adapter.counts(dialect.name) and isinstance(dialect, Counting)):
        estimated = ("x-pillion-estimated", "input_tokens")
        return Reply(200, [_JSON, estimated], client.count_answer(estimate(request)))
    await fetching(call, request, target, dialect)
    as_it_came = own and not foreign
    body = dialect.forward(call.envelope, target.model, False).body if as_it_came else dialect.count_body(request)
    lines = headers.outgoing(call.headers) if own else headers.translated(call.headers)
    query = query_of(call) if own else ""
    sent = Outgoing(dialect.name, target.model, body, False, lines, query, "count_tokens", call.timeout)
    answer = await ask(call, target, dialect, sent)
    said = await timed(call, answer.read(LIMIT))
    tokens = dialect.count_read(said)
    if own:
        return Reply(answer.status, headers.returning(answer.headers), said)
    return Reply(200, [*headers.returning_translated(answer.headers), _JSON], client.count_answer(tokens))
