"""What is told to a client that asks for a model to be loaded, or unloaded, and for nothing else?

At another provider nothing is ever loaded, and so there is nothing to ask it. The client reads what Ollama would say.
https://docs.ollama.com/api/generate#load-a-model
"""

from proxy.canon import Event, Finish, Request, Start, Stop
from proxy.dialects.ollama.words import NAME

_NOW = (0, "0", "0s", "0m", "0h")  # a `keep_alive` that ends at once


def loaded(request: Request) -> tuple[Event, ...]:
    """The answer; nothing where the request asks for more. (parse.py makes a demand of what is empty.)"""
    if not request.demands.keys() & {"messages", "prompt"}:
        return ()
    word = "unload" if request.extra.get("keep_alive") in _NOW else "load"
    return Start(wire=NAME, model=request.model), Finish(stops=(Stop(reason="other", raw=word),))
