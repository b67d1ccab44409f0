"""How is OpenAI reached, and every host that speaks its wire?

Groq, DeepSeek, Mistral, xAI, OpenRouter, vLLM, LM Studio and the rest differ in a base URL and a key, which are rows
in presets.yaml or config.yaml; they are all served by this one adapter.
https://platform.openai.com/docs/api-reference/authentication
"""

from proxy.adapters.http import HTTPProvider
from proxy.ports import Headers


class OpenAI(HTTPProvider):
    paths = {"openai_chat": "/chat/completions"}  # noqa: RUF012  the base declares it a ClassVar
    models_path = "/models"

    def credentials(self) -> Headers:
        key = self._config.api_key
        return [("authorization", f"Bearer {key.reveal()}")] if key else []
