"""What does each provider get where a client asks for one thing, and what does each client read of its answer?

One folder per feature: `asked.json` is what a client sends, written by hand, and beside it stands what each provider
gets of that, or why it gets nothing. In `answers/` each file has what a provider `answered`, written by hand, and what
the clients of each wire read of it. `MODEL` stands for the model's name.

`python -m tests.wire` writes anew what is not written by hand; `git diff` shows what has changed.
"""
