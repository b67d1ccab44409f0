"""How many tokens has this request, before it is sent?

The provider counts them, if it can, in whichever of its wires has a word for that; else there is an estimate, which
says that it is one in `x-pillion-estimated`.
"""

from msgspec.structs import replace

from proxy import headers
from proxy.canon import Request
from proxy.edge.aside import aside
from proxy.errors import UpstreamError
from proxy.grammar.named import called
from proxy.grammar.refusals import foreign_tool, refuse_demands
from proxy.grammar.searching import leave_kept
from proxy.lanes.abilities import OURS
from proxy.lanes.asking import ask, blame
from proxy.lanes.estimate import estimate
from proxy.lanes.fetching import Fetching
from proxy.lanes.naming import named
from proxy.lanes.pairing import pair
from proxy.ports import Call, Counting, Dialect, Outgoing, Peek, Reply, Target
from proxy.sealing.provenance import Provenance
from proxy.sealing.seals import is_marked, unseal

LIMIT = 1024 * 1024  # bytes of a provider's count

_JSON = ("content-type", "application/json")


async def count(call: Call, target: Target, dialect: Dialect, fetching: Fetching, provenance: Provenance) -> Reply:
    """`dialect` is the provider's. Raises GatewayError."""
    client, own = call.dialect, dialect is call.dialect
    assert isinstance(client, Counting)  # no other has a route for it
    size = len(call.envelope.body)
    request = await aside(size, client.count_parse, call.envelope.body, Peek(call.model, stream=False))
    request.model, request.searches = target.model, target.adapter.searches
    provider = target.adapter.name
    foreign = await aside(
        size, unseal, request, provenance.mark(provider), own, provenance.judge(provider, client.name)
    )
    if not own:
        leave_kept(request)
    if not (target.adapter.counts(dialect.name) and isinstance(dialect, Counting)):
        if not own:
            _refuse(request, f"{provider}'s API")
        return await _estimated(request, client, size)
    await fetching(call, request, target, dialect)
    as_it_came = own and not foreign and not is_marked(call.envelope.body)
    if as_it_came:
        body = (await aside(size, dialect.forward, call.envelope, target.model, False)).body
    else:
        body = await aside(size, _counted, request, dialect, own, target.adapter.hints(target.model).like)
    lines = headers.outgoing(call.headers) if own else headers.translated(call.headers)
    query = headers.query_out(call.raw_query) if own else ""
    timers = call.left(), False, call.timeout
    sent = Outgoing(dialect.name, target.model, body, False, lines, query, "count_tokens", *timers)
    try:
        answer = await ask(call, target, dialect, sent)
    except UpstreamError as error:
        if own or error.code != "model_unable":
            raise
        return await _estimated(request, client, size)  # Bedrock counts for few of its models
    try:
        said = await call.timed(answer.read(LIMIT))
    except BaseException:  # most of all where the client has left: the provider must not go on
        answer.abort()
        raise
    try:
        tokens = dialect.count_read(said)
    except UpstreamError as error:
        blame(call, error)
        raise
    if own:
        return Reply(answer.status, headers.returning(answer.headers), said)
    return Reply(200, [*headers.returning_translated(answer.headers), _JSON], client.count_answer(tokens))


async def _estimated(request: Request, client: Counting, size: int) -> Reply:
    estimated = ("x-pillion-estimated", "input_tokens")
    return Reply(200, [_JSON, estimated], client.count_answer(await aside(size, estimate, request)))


def _refuse(request: Request, api: str) -> None:
    """What a provider that counts would refuse as well: nobody here knows how much it takes. Raises Unrepresentable."""
    refuse_demands(request, api)
    for tool in request.tools:
        if tool.kind not in OURS and (tool.search is None or not request.searches):
            raise foreign_tool(tool, api)


def _counted(request: Request, dialect: Dialect, own: bool, like: str) -> bytes:
    """The body of the question in the provider's wire. `like`: the model that it is. Raises Unrepresentable."""
    assert isinstance(dialect, Counting)
    if not own:
        pair(request.turns)
        request, _ = named(request, dialect)
    if not like:
        return dialect.count_body(request)
    return called(dialect.count_body(replace(request, model=like)), request.model)
