"""What time is it where nobody waits for it to pass?"""


class Clock:
    """Seconds, as `time.monotonic` has them."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
