"""How are OpenAI and all compatible hosts reached?

Groq, DeepSeek, Mistral, xAI, OpenRouter, vLLM, LM Studio and the rest differ in a base URL and a key, which are rows in
presets.yaml or config.yaml; this adapter serves them all. https://platform.openai.com/docs/api-reference/authentication
"""

from proxy.adapters.http import HTTPProvider
from proxy.config import Provider
from proxy.ports import Headers
from proxy.upstream import Upstream


class OpenAI(HTTPProvider):
    paths = {"openai_chat": "/chat/completions", "openai_responses": "/responses"}  # noqa: RUF012  a ClassVar above
    count_paths = {"openai_responses": "/responses/input_tokens"}  # noqa: RUF012  likewise
    models_path = "/models"

    def __init__(self, config: Provider, upstream: Upstream) -> None:
        """Few hosts have the Responses API too; the presets of those say so."""
        super().__init__(config, upstream)
        self.dialects = config.dialects or ("openai_chat",)

    def do_without(self, dialect: str) -> None:
        """A host that is known to have the endpoint keeps it in spite of a 404."""
        if not self._config.vouched:
            super().do_without(dialect)

    def counts(self, dialect: str) -> bool:
        """Few hosts besides OpenAI do."""
        return self._config.counts_tokens and dialect in self.dialects and super().counts(dialect)

    def credentials(self, key: str) -> Headers:
        config = self._config
        said = [("openai-organization", config.org_id), ("openai-project", config.project)]
        shown = [("authorization", f"Bearer {key}")] if key else []
        return [*shown, *(line for line in said if line[1])]
