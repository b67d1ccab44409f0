"""What may the operator, and presets.yaml, say about a provider and its models?"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from proxy.access.allowance import Count, Limits
from proxy.config.schema.scalars import Seconds, SecretText, Unshown, Weight

Sampling = Literal["always", "unthinking", "never"]
Thoughts = Literal["refused", "taken", "demanded"]
Maker = Literal["openai", "bedrock-mantle", "deepseek", "anthropic", "google"]  # sealing/forms.py knows their seals


class Timers(Struct, frozen=True, forbid_unknown_fields=True):
    """How long a provider may take for each phase; docs/decisions/0004-timers.md says why these."""

    connect: Annotated[Seconds, Meta(description="How long connecting to a provider may take, TLS included.")] = 10.0
    headers: Annotated[Seconds, Meta(description="How long a provider may take until the head of a stream.")] = 30.0
    first_event: Annotated[
        Seconds,
        Meta(
            description="How long a provider may take until the first event of a stream that says something; some"
            " models have longer by default."
        ),
    ] = 120.0
    idle: Annotated[Seconds, Meta(description="How long a provider may be silent once a stream has begun.")] = 60.0
    quiet: Annotated[
        Seconds,
        Meta(
            description="How long a stream that has begun may send only keep-alives (pings, comments): a model may"
            " think so long in silence."
        ),
    ] = 1800.0
    total: Annotated[
        Seconds, Meta(description="How long a provider may take for a whole answer. Live streams have no such limit.")
    ] = 600.0


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that is known without asking the provider, and what is known of it."""

    name: Annotated[str, Meta(description="The name, as the provider spells it.")]
    like: Annotated[
        str | None,
        Meta(description="The model behind a name that does not say it: an ARN, a deployment, a served name."),
    ] = None
    context: Annotated[Count | None, Meta(description="The most tokens of request and answer together.")] = None
    max_output: Annotated[Count | None, Meta(description="The most tokens of an answer.")] = None
    system: Annotated[bool | None, Meta(description="Does it take a system prompt?")] = None
    tools: Annotated[bool | None, Meta(description="Does it call tools?")] = None
    images: Annotated[bool | None, Meta(description="Does it take images?")] = None
    documents: Annotated[bool | None, Meta(description="Does it take documents, such as PDFs?")] = None
    thinking: Annotated[bool | None, Meta(description="Can it think before it answers?")] = None
    sampling: Annotated[
        Sampling | None,
        Meta(description="When it takes a temperature: `always`, `unthinking` (beside no effort) or `never`."),
    ] = None
    prefill: Annotated[
        bool | None,
        Meta(
            description="Does it continue an assistant turn at the end of the request (prefill), at a provider of"
            " Claude?"
        ),
    ] = None
    timers: Annotated[Timers | None, Meta(description="Those that differ from the provider's.")] = None


class APIKey(Unshown, Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a provider's several keys."""

    key: Annotated[SecretText, Meta(description="The key.")]
    weight: Annotated[Weight, Meta(description="Its share, relative to the others.")] = 1


class ProviderRow(Unshown, Struct, kw_only=True, forbid_unknown_fields=True):
    """A provider. What its row does not say comes from the preset of the same name."""

    preset: Annotated[
        str | None, Meta(description="The preset to start from, if not the one with the provider's name.")
    ] = None
    kind: Annotated[str, Meta(description="The adapter: `openai` for every host with an OpenAI-compatible API.")] = (
        "openai"
    )
    base_url: Annotated[
        str | None, Meta(description="Its address: http(s)://HOST[:PORT][/PATH]; `{location}` stands for the location.")
    ] = None
    api_key: Annotated[SecretText | None, Meta(description="The key, unless it is in an environment variable.")] = None
    api_keys: Annotated[
        list[SecretText | APIKey],
        Meta(description="Several keys in place of one, used in turn: keys, or rows with a weight."),
    ] = field(default_factory=list)
    keys: Annotated[
        list[str], Meta(description="Environment variables that may hold the key; they override `api_key`.")
    ] = field(default_factory=list)
    model: Annotated[str | None, Meta(description="Its default model: what `upstream: PROVIDER` means.")] = None
    max_tokens: Annotated[Count | None, Meta(description="`max_tokens` for requests without one.")] = None
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None,
        Meta(
            description="`temperature` for requests without one, where the model accepts it with the rest of the"
            " request."
        ),
    ] = None
    org_id: Annotated[str | None, Meta(description="The organisation that pays.")] = None
    project: Annotated[str | None, Meta(description="The project: OpenAI's, Google Cloud's.")] = None
    location: Annotated[str | None, Meta(description="The region: Bedrock's, Vertex's.")] = None
    api_version: Annotated[
        str | None, Meta(description="The version of its API: Azure's dated ones (default: v1), Gemini's, Vertex's.")
    ] = None
    credentials: Annotated[
        str | None,
        Meta(
            description="For Vertex: a file, such as a service account's JSON; by default what Google's own search"
            " finds."
        ),
    ] = None
    profile: Annotated[
        str | None,
        Meta(description="For Bedrock: the AWS profile with the credentials; by default what AWS's own search finds."),
    ] = None
    headers: Annotated[dict[str, SecretText], Meta(description="Headers to send with every request. Never shown.")] = (
        field(default_factory=dict)
    )
    timers: Annotated[Timers, Meta(description="How long it may take for each phase.")] = Timers()
    proxy: Annotated[SecretText | None, Meta(description="An egress proxy: http://[USER:PASSWORD@]HOST:PORT.")] = None
    ca: Annotated[str | None, Meta(description="A file of CA certificates to trust, in place of the system's.")] = None
    cert: Annotated[
        str | None, Meta(description="A file with the certificate to show, for a host that asks for one (mTLS).")
    ] = None
    cert_key: Annotated[
        str | None, Meta(description="A file with the private key of `cert`, unless that holds it as well.")
    ] = None
    models: Annotated[
        list[str | Model], Meta(description="Models known without asking the provider: names, or rows.")
    ] = field(default_factory=list)
    serves: Annotated[list[str], Meta(description="Model names that begin with one of these are this provider's.")] = (
        field(default_factory=list)
    )
    ask_usage: Annotated[bool, Meta(description="`false` for a host that refuses `stream_options`.")] = True
    takes_urls: Annotated[
        bool, Meta(description="`false` for a host that takes images only as bytes, not by a URL.")
    ] = True
    call_id_length: Annotated[
        Annotated[int, Meta(ge=8, le=40)] | None,
        Meta(description="Length of a tool call's id, for a host that takes only ids of this many letters and digits."),
    ] = None
    thoughts: Annotated[
        Thoughts,
        Meta(
            description="Whether a host of Chat Completions takes a chat's thoughts in `reasoning_content`: `refused`,"
            " `taken`, or `demanded` of each message that calls a tool."
        ),
    ] = "refused"
    cache_points: Annotated[
        bool,
        Meta(description="`true` for a host of Chat Completions that takes Claude's cache points (`cache_control`)."),
    ] = False
    searches: Annotated[
        bool,
        Meta(
            description="`true` for a host that runs the web search of its wire (`web_search` in Responses and in"
            " Messages, `google_search`): then a client of another wire may ask for one."
        ),
    ] = False
    counts_tokens: Annotated[
        bool, Meta(description="`true` for a host that counts a request's tokens at `/responses/input_tokens`.")
    ] = False
    seals: Annotated[
        list[Maker] | None,
        Meta(
            description="The vendors whose sealed reasoning its models produce. Unknown by default, as for a gateway."
        ),
    ] = None
    dialects: Annotated[
        list[str], Meta(description="The APIs that it has, if other than the adapter's: [openai_chat].")
    ] = field(default_factory=list)
    body: Annotated[
        dict[str, Any],
        Meta(
            description="Fields of the provider's own API, to add to requests that lack them. `config show` shows them."
        ),
    ] = field(default_factory=dict)
    pull: Annotated[
        bool, Meta(description="For Ollama: pull those of `model` and `models` that it lacks, and retry.")
    ] = False
    free: Annotated[bool, Meta(description="It costs nothing, like a model on your own machine.")] = False
    limits: Annotated[Limits, Meta(description="Rate limits of the provider.")] = Limits()
    prices: Annotated[
        str | None,
        Meta(description="The name of its price list in proxy/prices.json; without one its prices are unknown."),
    ] = None


class Preset(ProviderRow, kw_only=True, forbid_unknown_fields=True):
    """A provider as data: a row, and besides:"""

    by_name: bool = False  # its key alone does not make it a provider, because another preset has the same key
    always: bool = False  # it is a provider even if the operator has not configured it
    finds_credentials: bool = False  # it has others than a key, so that it needs none where somebody names it
    variables: dict[str, list[str]] = field(default_factory=dict)  # by key of the row: the vendor's own variables
    places: dict[str, str] = field(default_factory=dict)  # base URLs of locations with hosts of another pattern
    key_forms: list[str] = field(default_factory=list)  # with what its keys begin, and no other vendor's
    elsewhere: dict[str, str] = field(default_factory=dict)  # by a variable of LiteLLM's: the one that is read here


class Presets(Struct, kw_only=True, forbid_unknown_fields=True):
    """presets.yaml."""

    providers: dict[str, Preset]
    synonyms: dict[str, str]
    not_instances: list[str] = field(default_factory=list)  # words that never name an instance (environment.py)
