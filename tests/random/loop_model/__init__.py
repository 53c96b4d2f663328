"""What the documentation promises of one context, as a checker of what happens.

A `Model` is told each call and its answer, the beginning and the end of each callback and of
each wait, in the order in which they happen, and raises `Disagreement` at the first that
docs/iteration.md and docs/design.md do not allow.  Where the order is a promise, it is
checked; where it is not, any order will do, but nothing may be missing when the phase ends.

What is ready is poll(2)'s answer, which whoever drives asks after each change.
"""

from .iteration import Model
from .parts import GUARD, Disagreement

__all__ = ["GUARD", "Disagreement", "Model", "check"]


def check(trace, names):
    """Check a whole trace: records that begin with an index into names."""
    model = Model()
    methods = [getattr(model, name) for name in names]
    for at, (event, *arguments) in enumerate(trace):
        try:
            methods[event](*arguments)
        except Disagreement as error:
            story = "\n".join(f"{names[record[0]]} {record[1:]}" for record in trace[: at + 1])
            raise Disagreement(f"{story}\n{error}") from None
    model.finish()
    return model
