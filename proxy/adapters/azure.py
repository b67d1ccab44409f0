"""How is Azure OpenAI reached?

The base URL is the resource's host, with or without what Azure shows after it: `/openai`, `/openai/v1`, or the path of
a deployment. There are two APIs: v1, where the body names the deployment, and the dated ones (`api_version:
2024-10-21`), where the path does. It is v1 unless there is a dated version and the base URL does not say v1. The list
contains the models that could be deployed, so a deployment under another name is requested as `azure/NAME`, or
configured under `models`. Versions before 2024-09-01-preview refuse `stream_options`: set `ask_usage: false`.
https://learn.microsoft.com/en-us/azure/ai-foundry/openai/api-version-lifecycle
"""

import re
from urllib.parse import quote

from proxy.adapters.http import HTTPProvider, segment
from proxy.config import Provider
from proxy.ports import Headers, Outgoing
from proxy.upstream import Upstream

DATED, V1 = "/openai", "/openai/v1"
_shown = re.compile(r"/openai(?:/v1|/deployments/[^/]+)?$")
_JWT = "eyJ"  # the beginning of Entra ID's tokens, and of no Azure key


class Azure(HTTPProvider):
    paths = {"openai_chat": "/chat/completions", "openai_responses": "/responses"}  # noqa: RUF012  a ClassVar above

    def __init__(self, config: Provider, upstream: Upstream) -> None:
        host, version = _shown.sub("", config.base_url), config.api_version
        self._is_dated = version[:1].isdigit() and not config.base_url.endswith(V1)
        super().__init__(config._replace(base_url=host + (DATED if self._is_dated else V1)), upstream)
        is_told = self._is_dated or not version[:1].isdigit()  # v1 knows `preview`, but no dates
        self._version = f"api-version={quote(version, safe='')}" if version and is_told else ""
        self.models_path = self._versioned("/models")

    def credentials(self, key: str) -> Headers:
        if key.startswith(_JWT):
            return [("authorization", f"Bearer {key}")]
        return [("api-key", key)] if key else []

    def do_without(self, dialect: str) -> None:
        """v1 always has both endpoints: its 404s mean the deployment, though their text does not name it."""
        if self._is_dated:
            super().do_without(dialect)

    def denies(self, model: str) -> bool:
        """Azure lists the models that could be deployed, and no deployments."""
        return False

    def target(self, outgoing: Outgoing) -> str:
        target = self._versioned(super().target(outgoing))
        if self._is_dated and outgoing.dialect == "openai_chat":
            return f"/deployments/{segment(outgoing.model)}{target}"
        return target

    def _versioned(self, target: str) -> str:
        if not self._version:
            return target
        return f"{target}{'&' if '?' in target else '?'}{self._version}"
