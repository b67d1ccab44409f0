"""pillion: an LLM gateway that rides beside one app."""

__version__ = "0.1.0"
