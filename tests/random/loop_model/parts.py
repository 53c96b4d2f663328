"""The things that a context has, as the model sees them."""

REALTIME, VIRTUAL, HOST = range(3)
CLOCK_ORDER = (VIRTUAL, REALTIME, HOST)
READ, WRITE, GATE, POLLING, OBJECT, BOTTOM_HALF, TIMER = range(7)
NEVER_NS = 2**63 - 1
# Times of the real and the host clock are in the first 100 ms or never; those of the running
# virtual clock are gone or never.
PAST_NS = 100_000_000
FAR_NS = 2**60
GUARD = -1              # a timer that ends blocking waits, soon, and that nobody is told of

# The phases of a level.  TIMERS + i is for CLOCK_ORDER[i].
ASK_POLLING, ASK_GATES, DESCRIPTORS, TIMERS, BOTTOM_HALVES, DONE = 0, 1, 2, 3, 6, 7


class Disagreement(AssertionError):
    """The loop did what its documentation does not say."""


def require(holds, *words):
    if not holds:
        raise Disagreement(" ".join(str(word) for word in words))


class Registration:
    """One setting of an fd handler or wait object; a replacement is another one."""

    def __init__(self, number, id, reads, writes, gated, is_object):
        self.number = number
        self.id = id
        self.reads = reads
        self.writes = writes
        self.gated = gated
        self.is_object = is_object
        self.asked = False          # its can_read, or the one that set it
        self.is_open = not gated    # the last answer
        self.closed = False         # the number was closed under it: strays are allowed
        self.wild = False           # and names another file now: anything is
        self.strays = 0


class Due:
    """A registration that was ready when the loop looked."""

    def __init__(self, registration, read, write):
        self.registration = registration
        self.read = read
        self.write = write
        self.started = False
        self.optional = registration.closed


class BottomHalf:
    FREE, CANCELLED, IDLE, NOW = range(4)

    def __init__(self, id, once=False, made_at=0):
        self.id = id
        self.once = once
        self.made_at = made_at
        self.state = self.FREE
        self.first = self.last = 0      # its place in the queue is one of these or between
        self.last_pass = 0

    @property
    def scheduled(self):
        return self.state >= self.IDLE


class Timer:
    def __init__(self, id, clock, scale):
        self.id = id
        self.clock = clock
        self.scale = scale
        self.expire_ns = -1
        self.order = 0
        self.is_due = False             # collected, its turn is to come


class Level:
    """One iteration, or a part of one, on the stack."""

    def __init__(self, kind, number, blocking=False):
        self.kind = kind                # "wait", "bottom halves", "timers", "step"
        self.number = number
        self.blocking = blocking
        self.phase = 0
        self.to_ask = []                # polling callbacks, in order
        self.gates = set()
        self.may_block = True           # False: must not; None: either
        self.must_sleep = self.must_not_sleep = False
        self.count = 0
        self.served = []                # the ids of its callbacks
        self.progress = False
        self.serving = None
        self.clock = None               # of a "timers" level
        self.stopped = False            # this phase's clock was disabled meanwhile
        self.began_at = 0               # phase 7
        self.nested = 0                 # waits inside
        self.slept_inside = 0
        self.refused = 0                # a step: the error
        self.target_ns = 0
        self.instant_ns = None          # where it stands
        self.starts = 0                 # the clock's, when it got there
