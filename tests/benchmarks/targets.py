"""What each row is meant to reach: so many ns, or so much of another loop's of the same run."""

from typing import NamedTuple


class Target(NamedTuple):
    group: str
    label: str                  # of the column; "": each of the group
    factor: float
    of: str = ""                # "": the factor is the figure; "best": the best other loop
    at: str = ""                # the other's column, if it is another
    ours: str = "qemu_mainloop"


TARGETS = [
    Target("C1", "", 10),
    Target("C2", "", 0.65, "libuv"),
    Target("C2e", "", 0.75, "libevent"),
    Target("C3", "", 0.5, "libuv"),
    Target("C3e", "", 0.8, "libuv"),
    Target("C4", "", 1, "best"),
    Target("C5a", "K=1", 30),
    Target("C5a", "K=1000", 22),
    Target("C5b", "K=1", 30),
    Target("C5b", "K=1000", 22),
    Target("C6pp", "", 1.05, "best"),
    Target("C6pp", "", 250, ours="qemu_mainloop-spin"),
    Target("C6tp", "K=1 call", 12),
    Target("C6tp", "K=1000 call", 28),
    Target("C7", "", 1, "libev"),
    Target("C7w", "", 1.1, "bare-epoll"),
    Target("C8", "mod", 1, "libev"),
    Target("C8", "toggle", 0.6, "bare-epoll"),
    Target("C8", "life", 0.8, "libev"),
    Target("P1", "chain", 100),
    Target("P1", "1000 per iteration", 75),
    Target("P2", "", 1, "best"),
    Target("P3", "", 3400),
    Target("P4", "add N=1000", 1, "gevent"),
    Target("P4", "add N=100000", 1, "gevent"),
    Target("P4", "cancel N=1000", 1.5, "rloop"),
    Target("P4", "cancel N=100000", 1.5, "rloop"),
    Target("P5", "callbacks msg/s", 1, "uvloop", "protocol msg/s"),
    Target("P5", "callbacks CPU", 1, "uvloop", "protocol CPU"),
]


def wanted(target, label, figure_of, best_peer):
    """The figure to reach in this column, or None if who sets it was not measured."""
    if not target.of:
        return target.factor
    if target.of == "best":
        other = best_peer(target.group, label)
        return target.factor * other[0] if other else None
    other = figure_of(target.group, target.at or label, target.of)
    return target.factor * other if other is not None else None
