"""How is Amazon Bedrock reached?

Its base URL is the runtime's bare host; the path has the model, as one segment whatever its characters, and then the
verb. It speaks two wires: Converse for every chat model, and InvokeModel, where each model family has its own body.

Requests carry a bearer token (a Bedrock API key), or are signed with AWS credentials. The runtime lists no models, and
the control plane is another host that needs other permissions, so only the configured models are known.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

import re
import time
from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import quote, unquote_to_bytes

from msgspec.structs import replace

from proxy.adapters.bedrock.credentials import Chain
from proxy.adapters.bedrock.signing import Clock, Signer
from proxy.adapters.http import HTTPProvider, segment
from proxy.adapters.keys import Key
from proxy.config import Provider
from proxy.errors import Down, Refused, unsent
from proxy.headers import spell
from proxy.ports import Answer, Headers, Outgoing
from proxy.upstream import Upstream

# The list of asynchronous jobs: the only request to the runtime's host that is free.
HEALTH_PATH = "/async-invoke"

# bedrock-runtime.us-east-1.amazonaws.com, bedrock-runtime-fips.us-gov-west-1.amazonaws.com, and private endpoints.
_REGION_OF_HOST = re.compile(r"\bbedrock-runtime(?:-fips)?\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")

# Tokens are counted for a model, not for the inference profile that routes to it, nor for that one's ARN.
# (https://github.com/pydantic/pydantic-ai/issues/4001)
_PROFILE = re.compile(
    r"^(?:arn:aws[a-z-]*:bedrock:[a-z0-9-]*:[0-9]*:inference-profile/)?"
    r"(?:us|us-gov|eu|apac|jp|au|ca|global)\.(?=[a-z0-9]+\.)"
)


class Bedrock(HTTPProvider):
    prefills = True
    paths: ClassVar = {"bedrock": "/model/{model}/converse", "bedrock_invoke": "/model/{model}/invoke"}
    stream_paths: ClassVar = {
        "bedrock": "/model/{model}/converse-stream",
        "bedrock_invoke": "/model/{model}/invoke-with-response-stream",
    }
    count_paths: ClassVar = {"bedrock": "/model/{model}/count-tokens"}

    def __init__(self, config: Provider, upstream: Upstream, clock: Clock = time.time) -> None:
        self._chain = Chain(config.name, config.profile, config.key_names)
        super().__init__(config, upstream, self._chain.secrets)
        url = self._origin.url
        self._host = url.raw_authority.rpartition("@")[2]
        self._base = f"{url.scheme}://{self._host}{url.raw_path.rstrip('/')}"
        self._region = next(iter(_REGION_OF_HOST.findall(self._host)), config.location)
        self._clock = clock
        self._signer: Signer | None = None

    def takes(self, model: str) -> Sequence[str]:
        return self.dialects

    def do_without(self, dialect: str) -> None:
        """Both endpoints exist: a 404 is about the model."""

    def has(self, model: str) -> bool:
        """Only AWS uses ARNs, for models, profiles and endpoints."""
        return super().has(model) or model.startswith(("arn:aws:", "arn:aws-"))

    def credentials(self, key: str) -> Headers:
        """For a bearer token; without one, each request is signed."""
        return [("authorization", f"Bearer {key}")]

    def target(self, outgoing: Outgoing) -> str:
        """Whatever its characters, the model is one segment, sent exactly as it is signed."""
        model, paths = outgoing.model, self.stream_paths if outgoing.stream else self.paths
        if outgoing.operation == "count_tokens":
            model, paths = _PROFILE.sub("", self.hints(model).like or model, count=1), self.count_paths
        path = paths[outgoing.dialect].replace("{model}", segment(model))
        return f"{path}?{_canonical(outgoing.query)}" if outgoing.query else path

    async def send(self, outgoing: Outgoing) -> Answer:
        """Drops the client's `x-amz-` headers, as they belong to a signature that was made for us."""
        kept = [line for line in outgoing.headers if not line[0].startswith("x-amz-")]
        outgoing, target = replace(outgoing, headers=kept), self.target(outgoing)
        shown = None
        if not self.keys:
            content = ("content-type", "application/json")
            with unsent():
                shown = spell(await self._signed("POST", target, [("host", self._host), content], outgoing.body))
        return await self.post(outgoing, target, outgoing.body, shown)

    async def models(self, via: str = "") -> list[str]:
        return list(self._config.models)

    async def check(self, key: Key) -> None:
        """Are there credentials, does the host answer, and does it know them? It costs nothing, and asks no model.

        Credentials that may not list jobs are good too: AWS recognised whom it refuses by name.
        """
        host = ("host", self._host)
        shown = self.credentials(key.value) if self.keys else await self._signed("GET", HEALTH_PATH, [host], b"")
        lines = [("accept-encoding", "identity"), host, self._via, *self.configured(), *shown]
        status, body = await self._upstream.get(self._origin, HEALTH_PATH, dict(lines), None)
        if status != 200 and not (status == 403 and b"not authorized to perform" in body):
            message = f"{self.name} answered the request for its list of jobs with status {status}."
            raise Down(message, provider=self.name, upstream_status=status)

    async def _signed(self, method: str, target: str, headers: Headers, body: bytes) -> Headers:
        """The headers of the signature. Raises Refused without credentials or a region."""
        credentials = await self._chain.credentials()
        if not self._region:
            message = f"{self.name} has no region: set AWS_REGION, or the provider's `location`."
            raise Refused(message, status=401, kind="authentication", code="no_region", provider=self.name)
        if self._signer is None or self._signer.credentials != credentials:
            self._signer = Signer(credentials, self._region, self._clock)
        return self._signer.sign(method, self._base + target, headers, body)


def _canonical(query: str) -> str:
    """The query as it is signed: reserved characters encoded once, and each name with its `=`."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, _, value in pairs)


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text.encode(errors="surrogateescape")), safe="-_.~")
