"""The calls: what each changes, and what it may answer."""

from errno import EBADF, EBUSY, EEXIST
from select import POLLNVAL

from .parts import (
    FAR_NS,
    HOST,
    NEVER_NS,
    PAST_NS,
    REALTIME,
    VIRTUAL,
    BottomHalf,
    Registration,
    Timer,
    require,
)


class Calls:
    """The state of a context, and the calls that change it."""

    def __init__(self):
        self.stack = []             # levels and running callbacks
        self.revents = {}           # by number: poll(2)'s answer
        self.registered = {}        # by number
        self.registrations = {}     # by id, also what was removed
        self.bhs = {}
        self.timers = {}
        self.clock_by_id = {}       # also of freed ones
        self.due = {REALTIME: [], VIRTUAL: [], HOST: []}
        self.enabled = {REALTIME: True, VIRTUAL: False, HOST: True}
        self.virtual_starts = 0     # how often it was started
        self.virtual_ns = 0         # or, if it runs, when it was looked at last
        self.polling = []           # (serial, id) in order of registration
        self.notified = False
        self.serial = 0             # counts calls and events
        self.announced = False      # a foreign wait: until the next iteration all wakes
        self.noisy = False          # a file was closed under its handler: early wake-ups

    def tick(self):
        self.serial += 1
        return self.serial

    def start(self, virtual_ns, *_):
        self.virtual_ns = virtual_ns

    def read_virtual(self, now_ns):
        """Somebody read the virtual clock."""
        if self.enabled[VIRTUAL]:
            require(now_ns >= self.virtual_ns, "the virtual clock went back to", now_ns)
            self.virtual_ns = now_ns
        else:
            require(now_ns == self.virtual_ns, "the stopped clock shows", now_ns, "not",
                    self.virtual_ns)

    # ---- files

    def ready(self, number, revents, *_):
        self.revents[number] = revents

    def closed(self, number, *_):
        registration = self.registered.get(number)
        if registration:
            registration.closed = self.noisy = True

    def reopened(self, number, *_):
        registration = self.registered.get(number)
        if registration:
            registration.closed = registration.wild = self.noisy = True

    # ---- handlers and wait objects

    def register(self, number, id, reads, writes, gated, is_object, answer):
        old = self.registered.get(number)
        is_open = not self.revents.get(number, POLLNVAL) & POLLNVAL
        of_other_kind = old is not None and old.is_object != is_object
        if old is None:
            expected = {0 if is_open else -EBADF}
        elif old.closed:
            # Whether the loop has seen it yet is not said.
            expected = {0} if is_open else {0, -EBADF}
            expected |= {-EBUSY} if of_other_kind else set()
            expected |= {-EEXIST} if is_object and old.is_object else set()
        elif of_other_kind:
            expected = {-EBUSY}
        else:
            expected = {-EEXIST if is_object else 0}
        require(answer in expected, "registering", number, "answered", answer, "not", expected)
        if answer == 0:
            new = Registration(number, id, reads, writes, gated, is_object)
            new.closed = not is_open
            self.registered[number] = self.registrations[id] = new

    def set_handler(self, number, id, wanted, answer):
        reads = bool(wanted & 1)
        self.register(number, id, reads, bool(wanted & 2), bool(wanted & 4) and reads, False,
                      answer)

    def remove_handler(self, number, answer, *_):
        old = self.registered.get(number)
        if old is not None and old.is_object:
            require(answer == -EBUSY, "removing a wait object as a handler answered", answer)
        else:
            require(answer == 0, "removing", number, "answered", answer)
            self.registered.pop(number, None)

    def add_object(self, number, id, answer, *_):
        self.register(number, id, True, False, False, True, answer)

    def del_object(self, number, *_):
        old = self.registered.get(number)
        if old is not None and old.is_object:
            del self.registered[number]

    # ---- bottom halves

    def bh_new(self, id, *_):
        self.bhs[id] = BottomHalf(id)

    def schedule(self, id, *_):
        self.enqueue(self.bhs[id], BottomHalf.NOW)

    def schedule_idle(self, id, *_):
        self.enqueue(self.bhs[id], BottomHalf.IDLE)

    def enqueue(self, bh, state):
        place = self.tick()
        if bh.state == BottomHalf.FREE:
            bh.first = bh.last = place
        elif bh.state == BottomHalf.CANCELLED:
            bh.last = place             # it may keep its earlier place
        bh.state = max(bh.state, state)

    def cancel(self, id, *_):
        if self.bhs[id].scheduled:
            self.bhs[id].state = BottomHalf.CANCELLED

    def delete(self, id, *_):
        del self.bhs[id]

    def oneshot(self, id, answer, *_):
        require(answer == 0, "a one-shot answered", answer)
        bh = self.bhs[id] = BottomHalf(id, once=True, made_at=self.tick())
        self.enqueue(bh, BottomHalf.NOW)

    def is_bh_scheduled(self, id, answer, *_):
        require(answer == self.bhs[id].scheduled, "bottom half", id, "says scheduled:", answer)

    def bh_timeout(self, timeout_ms, *_):
        self.announced = True
        states = {bh.state for bh in self.bhs.values()}
        expected = 0 if BottomHalf.NOW in states else 10 if BottomHalf.IDLE in states else 1000
        require(timeout_ms == expected, "bottom halves allow", timeout_ms, "ms, not", expected)

    # ---- timers

    def timer_new(self, id, clock, scale, *_):
        self.timers[id] = Timer(id, clock, scale)
        self.clock_by_id[id] = clock

    def timer_mod(self, id, when, how, expire_ns):
        timer = self.timers[id]
        when = max(when, 0)
        if how & 2:
            when = min(when * timer.scale, NEVER_NS)
        if not (how & 1 and 0 <= timer.expire_ns <= when):
            self.disarm(timer)
            timer.expire_ns = when
            timer.order = self.tick()
        require(expire_ns == timer.expire_ns, "timer", id, "is armed for", expire_ns, "not",
                timer.expire_ns)

    def disarm(self, timer):
        if timer.is_due:
            self.due[timer.clock].remove(timer)
            timer.is_due = False
        timer.expire_ns = -1

    def timer_del(self, id, pending, *_):
        timer = self.timers[id]
        require(pending == (timer.expire_ns >= 0), "timer", id, "says pending:", pending)
        self.disarm(timer)

    def timer_free(self, id, pending, *_):
        self.timer_del(id, pending)
        del self.timers[id]

    def is_past(self, timer):
        if timer.expire_ns < 0:
            return False
        if timer.clock != VIRTUAL:
            return timer.expire_ns < PAST_NS
        return timer.expire_ns <= (FAR_NS if self.enabled[VIRTUAL] else self.virtual_ns)

    def collect(self, clock):
        """What is due by now gets behind what was due before, and has not run."""
        past = [timer for timer in self.timers.values()
                if timer.clock == clock and not timer.is_due and self.is_past(timer)]
        past.sort(key=lambda timer: (timer.expire_ns, timer.order))
        for timer in past:
            timer.is_due = True
        self.due[clock] += past

    def has_due(self, clock):
        return any(timer.clock == clock and (timer.is_due or self.is_past(timer))
                   for timer in self.timers.values())

    def deadline(self, clock, left_ns, *_):
        armed = any(timer.clock == clock and timer.expire_ns not in (-1, NEVER_NS)
                    for timer in self.timers.values())
        if not self.enabled[clock]:
            require(left_ns == -1, "a disabled clock has a deadline in", left_ns)
        elif self.has_due(clock):
            require(left_ns == 0, "a timer is due and the deadline is in", left_ns)
        elif clock != REALTIME:
            require((left_ns > 0) == armed, "a deadline in", left_ns)

    def clock(self, clock, on, now_ns, *_):
        if clock == VIRTUAL:
            require(now_ns >= self.virtual_ns, "the virtual clock went back to", now_ns)
            self.virtual_ns = now_ns
        if clock == VIRTUAL and on and not self.enabled[VIRTUAL]:
            self.virtual_starts += 1
        self.enabled[clock] = bool(on)

    # ---- the rest

    def notify(self, *_):
        self.notified = True

    def polling_add(self, id, answer, *_):
        require(answer == 0, "adding a polling callback answered", answer)
        self.polling.append((self.tick(), id))

    def polling_del(self, id, *_):
        for entry in self.polling:
            if entry[1] == id:
                self.polling.remove(entry)
                return
