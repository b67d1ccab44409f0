"""How do clients of Vertex AI ask which models there are?

By publisher, where those of the Gemini API ask for one list. To Google's SDK all models are Google's, so that
`publishers/google/models` names whatever there is, each in the path that it is asked by. All else of the wire is the
Gemini API's, and so is its name.
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
        """`path`: what stands behind `/projects/` or `/publishers/`."""
        name = published(path)
        if name == path:
            raise Unsupported("pillion serves publishers/PUBLISHER/models/MODEL here, and nothing else of Vertex AI's.")
        return name

    def _listed(self, names: Sequence[str]) -> Object:
        return {"publisherModels": [_publisher_model(name) for name in names]}

    def model_card(self, name: str, abilities: Abilities = UNKNOWN) -> bytes:
        """The wire has no word for what a model can do."""
        return dump(_publisher_model(name))


def _publisher_model(name: str) -> Object:
    """The mirror of `published`."""
    publisher, slash, model = name.partition("/")
    return {"name": f"publishers/{publisher}/models/{model}" if slash else f"publishers/google/models/{name}"}
