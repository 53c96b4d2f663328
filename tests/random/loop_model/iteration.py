"""Iterations: which callback may run now, what must have run, what a wait answers."""

from errno import EBUSY, EINVAL
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT

from .calls import Calls
from .parts import (
    ASK_GATES,
    ASK_POLLING,
    BOTTOM_HALF,
    BOTTOM_HALVES,
    CLOCK_ORDER,
    DESCRIPTORS,
    DONE,
    GATE,
    GUARD,
    NEVER_NS,
    POLLING,
    TIMER,
    TIMERS,
    VIRTUAL,
    WRITE,
    BottomHalf,
    Due,
    Level,
    require,
)

MOST_STRAYS = 8


class Model(Calls):
    """One context, in one thread."""

    def __init__(self):
        super().__init__()
        self.passes = 0
        self.pending = {}           # by id: what is ready and was not served yet
        self.iterations = 0         # checked, for the reports
        self.looks_first = False    # waits from Python do, before they sleep

    # ---- levels

    def push(self, kind, **kwargs):
        self.passes += 1
        level = Level(kind, self.passes, **kwargs)
        self.stack.append(level)
        return level

    def pop(self):
        require(isinstance(self.stack[-1], Level), "an iteration ended inside a callback")
        level = self.stack.pop()
        outer = next((e for e in reversed(self.stack) if isinstance(e, Level)), None)
        if outer is not None:
            outer.nested += 1
            outer.slept_inside += level.slept_inside
        return level

    def top(self):
        require(self.stack and isinstance(self.stack[-1], Level), "a callback outside of a wait")
        return self.stack[-1]

    def wait(self, blocking, *_):
        level = self.push("wait", blocking=bool(blocking))
        level.to_ask = list(self.polling)

    def waited(self, answer, slept, is_progress, *_):
        """The answer is None if an exception came instead."""
        level = self.top()
        self.advance(level, DONE)
        slept, level.slept_inside = slept - level.slept_inside, slept
        self.pop()
        self.iterations += 1
        expected = int(level.progress) if is_progress else level.count
        require(answer in (None, expected), "the wait answered", answer, "not", expected)
        self.check_sleep(level, slept)

    def check_sleep(self, level, slept):
        require(not (level.must_not_sleep and slept), "it slept, although there was work")
        require(not (slept and not level.blocking), "a non-blocking wait slept")
        if level.must_sleep and not level.nested:
            # A wait that looks first finds there what has hung up; and if that was reported to
            # an iteration around this one, it is among what is left.
            finds_noise = self.looks_first or any(isinstance(e, Level) for e in self.stack)
            found = GUARD in level.served or (finds_noise and self.noisy)
            require(slept or found, "it did not sleep, and nothing was to do")
            require(level.served or self.noisy, "it woke up for nothing")

    def bh_poll(self, *_):
        self.push("bottom halves")

    def bh_polled(self, answer, *_):
        level = self.top()
        self.advance(level, DONE)
        self.pop()
        require(answer == level.progress, "qemu_bh_poll answered", answer)

    def run_timers(self, clock, *_):
        self.push("timers").clock = clock

    def ran_timers(self, answer, *_):
        level = self.top()
        self.advance(level, DONE)
        self.pop()
        require(answer == level.progress, "qemu_clock_run_timers answered", answer)

    def finish(self):
        require(not self.stack, "the program ended inside", self.stack)

    # ---- phases

    def advance(self, level, phase):
        """Leave the phases before this one: nothing that they owed may be left."""
        require(phase >= level.phase, "a callback of phase", phase, "in phase", level.phase)
        while level.phase < phase:
            self.leave_phase(level)
            level.phase += 1
            self.enter_phase(level)

    def skips(self, level):
        """A part of an iteration alone."""
        if level.kind == "bottom halves":
            return level.phase != BOTTOM_HALVES
        if level.kind == "timers":
            return not self.is_timer_phase(level) or self.clock_of(level) != level.clock
        return False

    def is_timer_phase(self, level):
        return TIMERS <= level.phase < BOTTOM_HALVES

    def clock_of(self, level):
        return CLOCK_ORDER[level.phase - TIMERS]

    def enter_phase(self, level):
        if level.phase == DONE or self.skips(level):
            return
        if level.phase == ASK_GATES:
            level.gates = {r.id for r in self.registered.values() if r.gated}
        elif level.phase == DESCRIPTORS:
            self.look(level)
        elif self.is_timer_phase(level):
            level.stopped = not self.enabled[self.clock_of(level)]
            if not level.stopped:
                self.collect(self.clock_of(level))
        elif level.phase == BOTTOM_HALVES:
            level.began_at = self.tick()

    def leave_phase(self, level):
        if self.skips(level):
            return
        if level.phase == ASK_POLLING:
            left = [entry for entry in level.to_ask if entry in self.polling]
            require(not left, "polling callbacks were not asked:", left)
        elif level.phase == ASK_GATES:
            left = [id for id in level.gates if self.is_live(id)]
            require(not left, "can_read was not asked:", left)
        elif level.phase == DESCRIPTORS:
            for due in self.pending.values():
                require(due.optional or not self.is_owed(due), "ready and not served:",
                        vars(due.registration))
            self.pending.clear()
        elif self.is_timer_phase(level):
            clock = self.clock_of(level)
            require(level.stopped or not self.enabled[clock] or not self.due[clock],
                    "due and not run:", [timer.id for timer in self.due[clock]])
        elif level.phase == BOTTOM_HALVES:
            left = [bh.id for bh in self.bhs.values() if self.may_run(bh, level)]
            require(not left, "scheduled and not run:", left)

    # ---- phases 2 to 4

    def look(self, level):
        has_new_gate = any(r.gated and not r.asked for r in self.registered.values())
        may_block = False if has_new_gate else level.may_block
        has_work = self.notified or any(bh.state == BottomHalf.NOW for bh in self.bhs.values())
        has_work = has_work or any(on and self.has_due(clock)
                                   for clock, on in self.enabled.items())
        level.must_not_sleep = has_work or may_block is False
        # What an outer iteration has left keeps the loop awake, even if it is void by now.
        waiting = any(not due.started for due in self.pending.values())
        level.must_sleep = (level.blocking and not level.must_not_sleep and not waiting
                            and may_block and not self.announced)
        # What has hung up and reports nothing else ends one sleep, and is left alone then.
        self.noisy = self.noisy or any(
            self.revents.get(number, 0) & POLLHUP for number in self.registered)
        self.notified = self.announced = False
        self.pending = {}
        for registration in self.registered.values():
            due = self.due_of(registration)
            if due.read or due.write:
                self.pending[registration.id] = due

    def due_of(self, registration):
        if registration.closed:
            return Due(registration, registration.reads, registration.writes)
        events = self.revents.get(registration.number, POLLNVAL)
        return Due(registration,
                   registration.reads and registration.is_open
                   and bool(events & (POLLIN | POLLHUP | POLLERR)),
                   registration.writes and bool(events & (POLLOUT | POLLERR)))

    def is_live(self, id):
        registration = self.registrations[id]
        return self.registered.get(registration.number) is registration

    def is_owed(self, due):
        registration = due.registration
        return self.is_live(registration.id) and (
            due.write or (due.read and registration.is_open))

    # ---- callbacks

    def call(self, part, id, virtual_ns, *_):
        level = self.top()
        if part == TIMER:
            self.call_timer(level, id, virtual_ns)
        elif part == BOTTOM_HALF:
            self.call_bh(level, id)
        elif part == POLLING:
            self.call_polling(level, id)
        elif part == GATE:
            self.call_gate(level, id)
        else:
            self.call_handler(level, part, id)
        level.served.append(id)
        self.read_virtual(virtual_ns)
        self.stack.append((part, id))

    def return_(self, part, id, answer, *_):
        require(self.stack.pop() == (part, id), "callbacks cross")
        level = self.top()
        if part == POLLING and answer:
            level.may_block = False
        elif part == GATE:
            asked = self.registrations[id]
            now = self.registered.get(asked.number)
            if now is not None and now.gated and (now is asked or not now.asked):
                now.asked = True
                now.is_open = bool(answer)
        elif part == TIMER and level.kind != "step" and not self.enabled[self.clock_of(level)]:
            level.stopped = True

    def raised(self):
        """The last callback raised an exception, so the wait need not sleep any more."""
        self.top().may_block = self.top().may_block and None

    def call_polling(self, level, id):
        require(level.kind == "wait" and level.phase == ASK_POLLING, "asked too late:", id)
        while level.to_ask and level.to_ask[0] not in self.polling:
            level.to_ask.pop(0)
        require(level.to_ask and level.to_ask[0][1] == id, "polling callback", id,
                "was called, and due was", level.to_ask[:1])
        level.to_ask.pop(0)

    def call_gate(self, level, id):
        require(level.kind == "wait", "can_read asked outside of a wait")
        self.advance(level, ASK_GATES)
        require(id in level.gates and self.is_live(id), "can_read", id, "is not to be asked")
        level.gates.remove(id)

    def call_handler(self, level, part, id):
        require(level.kind == "wait", "a descriptor served outside of a wait")
        self.advance(level, DESCRIPTORS)
        require(self.is_live(id), "called after it was removed or replaced:", id)
        due = self.pending.get(id)
        require(due is not None, "called and not ready:", vars(self.registrations[id]))
        serving = self.pending.get(level.serving)
        if serving is not None and serving is not due and not serving.optional:
            require(not (serving.write and self.is_live(level.serving)),
                    "the write callback of", level.serving, "was to come first")
        if part == WRITE:
            require(due.write, "the write callback was not due:", id)
            require(not due.read or not due.registration.is_open or due.optional,
                    "write was called before read:", id)
            due.read = due.write = False
        else:
            require(due.read and due.registration.is_open, "the read callback was not due:", id)
            due.read = False
        if not due.started:
            due.started = True
            level.count += 1
            self.count_stray(due.registration)
        level.progress = True
        level.serving = id

    def count_stray(self, registration):
        if registration.closed:
            registration.strays += 1
            require(registration.wild or registration.strays <= MOST_STRAYS,
                    "too many stray callbacks:", registration.id)

    def call_timer(self, level, id, virtual_ns):
        if id == GUARD:
            require(level.kind != "step", "a real timer ran in a step")
            self.advance(level, TIMERS + 1)
            level.progress = True
            return
        timer = self.timers[id]
        if level.kind == "step":
            require(timer.clock == VIRTUAL, "a timer of clock", timer.clock, "ran in a step")
            self.advance_step(level)
        else:
            self.advance(level, TIMERS + CLOCK_ORDER.index(timer.clock))
            require(not level.stopped, "timer", id, "ran, and its clock is disabled")
        due = self.due[timer.clock]
        require(due and due[0] is timer, "timer", id, "ran and due was", [t.id for t in due])
        self.disarm(timer)
        level.progress = True

    def call_bh(self, level, id):
        self.advance(level, BOTTOM_HALVES)
        bh = self.bhs.get(id)
        require(bh is not None and self.may_run(bh, level), "bottom half", id, "is not to run")
        for other in self.bhs.values():
            require(other.last >= bh.first or not self.may_run(other, level), "bottom half",
                    other.id, "comes before", id)
        level.progress = level.progress or bh.state == BottomHalf.NOW
        bh.state = BottomHalf.FREE
        bh.last_pass = level.number
        if bh.once:
            del self.bhs[id]

    def may_run(self, bh, level):
        return (bh.scheduled and bh.last_pass < level.number
                and not (bh.once and bh.made_at > level.began_at))

    # ---- stepping the virtual clock

    def step(self, ns, now_ns, relative, *_):
        inside = any(entry[0] == TIMER and entry[1] != GUARD
                     and self.clock_by_id[entry[1]] == VIRTUAL
                     for entry in self.stack if not isinstance(entry, Level))
        self.read_virtual(now_ns)
        level = Level("step", self.passes)
        if self.enabled[VIRTUAL] or inside:
            level.refused = -EBUSY
        elif ns < 0:
            level.refused = -EINVAL
        level.target_ns = min(now_ns + ns, NEVER_NS)
        self.stack.append(level)

    def advance_step(self, level):
        """To the next instant at which something runs; False: there is none."""
        require(not level.refused, "a refused step ran something")
        while not self.due[VIRTUAL] or level.instant_ns is None:
            if level.instant_ns is not None and self.started_since(level):
                return False
            times = [t.expire_ns for t in self.timers.values()
                     if t.clock == VIRTUAL and t.expire_ns >= 0]
            if level.instant_ns is None and any(ns <= self.virtual_ns for ns in times):
                instant_ns = self.virtual_ns
            else:
                instant_ns = min((ns for ns in times if ns > self.virtual_ns), default=NEVER_NS)
            if instant_ns > level.target_ns or instant_ns == NEVER_NS:
                return False
            level.instant_ns = self.virtual_ns = instant_ns
            level.starts = self.virtual_starts
            self.collect(VIRTUAL)
        return True

    def started_since(self, level):
        """A callback started the clock: it is not the step's any more."""
        return self.virtual_starts != level.starts

    def stepped(self, answer, now_ns, *_):
        level = self.top()
        if level.refused:
            require(answer == level.refused, "the step answered", answer, "not", level.refused)
        else:
            require(not self.advance_step(level), "due in the step and not run:",
                    [timer.id for timer in self.due[VIRTUAL]])
            if level.instant_ns is None or not self.started_since(level):
                require(answer in (None, level.target_ns), "the step answered", answer)
                self.virtual_ns = max(self.virtual_ns, level.target_ns)
        self.pop()
        self.read_virtual(now_ns)
