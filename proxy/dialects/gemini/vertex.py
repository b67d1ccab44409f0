"""How do clients of Vertex AI ask which models there are?

They ask by publisher, while those of the Gemini API ask for one list. Google's SDK takes every model for Google's, so
that `publishers/google/models` lists all models, each with the path by which to ask it. All else is the same as in the
Gemini API, and so is the dialect's name.
https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/publishers.models
"""

from collections.abc import Sequence

from proxy.dialects.gemini import Gemini
from proxy.dialects.gemini.parse import published
from proxy.errors import Unsupported
from proxy.grammar.fields import Object, dump
from proxy.ports import UNKNOWN, Abilities


class GeminiVertex(Gemini):
    """The clients' face."""

    def model_at(self, path: str) -> str:
        """`path`: what follows `/projects/` or `/publishers/`."""
        name = published(path)
        if name == path:
            raise Unsupported("Of Vertex AI's paths, pillion serves only publishers/PUBLISHER/models/MODEL here.")
        return name

    def _listed(self, names: Sequence[str]) -> Object:
        return {"publisherModels": [_publisher_model(name) for name in names]}

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        """The name alone: this wire has no word for what a model can do."""
        return dump(_publisher_model(name))


def _publisher_model(name: str) -> Object:
    """The reverse of `published`."""
    publisher, slash, model = name.partition("/")
    return {"name": f"publishers/{publisher}/models/{model}" if slash else f"publishers/google/models/{name}"}
