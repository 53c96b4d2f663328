"""A can_read."""


class Gate:
    """A can_read that counts how often it is asked."""

    def __init__(self, is_open):
        self.is_open = is_open
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self.is_open
