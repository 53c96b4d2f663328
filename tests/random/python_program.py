"""Operations on the Python API, from the top and from inside callbacks, each told to a model.

`Program.operate` runs one operation; what callbacks do is taken from `Program.scripts`, one
script a callback, first come, first served.
"""

import itertools
import sys
from collections import deque, namedtuple

from loop_model import GUARD, Disagreement, Model

import qemu_mainloop as q

READ, WRITE, GATE, POLLING, OBJECT, BOTTOM_HALF, TIMER = range(7)
CLOCKS = (q.Clock.REALTIME, q.Clock.VIRTUAL, q.Clock.HOST)
GUARD_NS = 50_000
MAX_DEPTH = 4
MAX_OPERATIONS = 400

# What a callback does: operations, then it may empty its file; what it answers; whether it
# raises an exception at the end.
Script = namedtuple("Script", "operations drains answer raises")
NOTHING = Script((), False, False, False)


class Planned(Exception):
    """Raised by a callback, on purpose."""


class Program:
    def __init__(self, loop, files, on_main):
        self.loop = loop
        self.files = files
        self.on_main = on_main
        self.model = Model()
        self.model.looks_first = True
        self.scripts = deque()
        self.ids = itertools.count()
        self.bhs = {}
        self.timers = {}
        self.polling_funcs = {}
        self.polling_count = 0
        self.depth = self.operations = 0
        self.raised = []            # by level: what its callbacks raised, in order
        self.surfaced = 0
        self.total_raised = 0
        self.unraisable = []
        self.problem = None
        self.old_hook, sys.unraisablehook = sys.unraisablehook, self.unraisable.append
        self.guard = loop.timer_new(self.on_guard)
        files.begin()
        self.revents = [-1] * files.number_count
        self.model.start(self.virtual_ns())
        for slot in range(3):
            files.open_another(slot, slot, 0)
        self.look()

    @staticmethod
    def virtual_ns():
        return q.clock_get_ns(q.Clock.VIRTUAL)

    def look(self):
        now = self.files.look()
        for number, (old, new) in enumerate(zip(self.revents, now, strict=True)):
            if old != new:
                self.model.ready(number, new)
        self.revents = now

    # ---- callbacks

    def callback(self, part, id, slot=0):
        return lambda *_: self.called(part, id, slot)

    def called(self, part, id, slot):
        # The loop goes on after an exception: only the first disagreement counts.
        if self.problem is not None:
            return False
        try:
            return self.run_script(part, id, slot)
        except Disagreement as error:
            self.problem = error
            return False

    def run_script(self, part, id, slot):
        self.model.call(part, id, self.virtual_ns())
        script = self.scripts.popleft() if self.scripts else NOTHING
        self.depth += 1
        for operation in script.operations:
            self.operate(*operation)
        self.depth -= 1
        if script.drains and part in (READ, OBJECT):
            self.files.drain(slot)
            self.look()
        raises = script.raises and part != POLLING
        self.model.return_(part, id, script.answer and not raises)
        if raises:
            self.model.raised()
            self.total_raised += 1
            error = Planned(id)
            self.raised[-1].append(error)
            raise error
        return script.answer

    def on_guard(self):
        if self.problem is None:
            self.model.call(TIMER, GUARD, self.virtual_ns())
            self.model.return_(TIMER, GUARD, False)

    # ---- operations

    def operate(self, name, a, b):
        if self.problem is not None or self.operations >= MAX_OPERATIONS:
            return
        self.operations += 1
        getattr(self, name)(a, b)

    def answered(self, function, *args, **kwargs):
        """0 or a negative errno, as in C."""
        try:
            function(*args, **kwargs)
        except OSError as error:
            return -error.errno
        return 0

    def set_handler(self, a, b):
        slot, id = a % self.files.number_count, next(self.ids)
        wanted = b & 7 if b & 3 else b & 7 | 1
        if not wanted & 1:
            wanted &= ~4
        answer = self.answered(
            self.loop.set_fd_handler, self.files.first_number + slot,
            self.callback(READ, id, slot) if wanted & 1 else None,
            self.callback(WRITE, id, slot) if wanted & 2 else None,
            can_read=self.callback(GATE, id, slot) if wanted & 4 else None)
        self.model.set_handler(slot, id, wanted, answer)

    def remove_handler(self, a, b):
        slot = a % self.files.number_count
        answer = self.answered(self.loop.set_fd_handler, self.files.first_number + slot)
        self.model.remove_handler(slot, answer)

    def open_another(self, a, b):
        slot = a % self.files.number_count
        if self.files.open_another(slot, b % self.files.kinds, b // self.files.kinds % 6):
            self.model.reopened(slot)
        self.look()

    def close(self, a, b):
        slot = a % self.files.number_count
        if b & 2:
            self.remove_handler(a, b)
        self.files.close(slot, b & 1)
        self.model.closed(slot)
        self.look()

    def signal(self, a, b):
        self.files.signal(a % self.files.number_count)
        self.look()

    def touch(self, a, b):
        how = (self.files.drain, self.files.fill, self.files.hang_up)[b % 3]
        how(a % self.files.number_count)
        self.look()

    def bh_of(self, a):
        slot = a % 4
        if slot not in self.bhs:
            id = next(self.ids)
            self.bhs[slot] = id, self.loop.bh_new(self.callback(BOTTOM_HALF, id))
            self.model.bh_new(id)
        return self.bhs[slot]

    def schedule(self, a, b):
        id, bh = self.bh_of(a)
        self.model.schedule(id)
        bh.schedule()
        self.model.is_bh_scheduled(id, bh.scheduled)

    def schedule_idle(self, a, b):
        id, bh = self.bh_of(a)
        self.model.schedule_idle(id)
        bh.schedule_idle()
        self.model.is_bh_scheduled(id, bh.scheduled)

    def cancel(self, a, b):
        id, bh = self.bh_of(a)
        self.model.cancel(id)
        bh.cancel()
        self.model.is_bh_scheduled(id, bh.scheduled)

    def delete(self, a, b):
        id, bh = self.bh_of(a)
        del self.bhs[a % 4]
        self.model.delete(id)
        bh.delete()
        bh.delete()

    def drop(self, a, b):
        """Only the loop knows it now, if it is scheduled; otherwise nobody."""
        self.bhs.pop(a % 4, None)

    def timer_of(self, a):
        slot = a % 6
        if slot not in self.timers:
            id = next(self.ids)
            self.timers[slot] = id, self.loop.timer_new(
                self.callback(TIMER, id), CLOCKS[slot % 3])
            self.model.timer_new(id, slot % 3, q.SCALE_MS)
        return self.timers[slot]

    def time_for(self, clock, b):
        if b >= 240:
            return 2**63 - b
        if b >= 224:
            return 2**61
        if b >= 208:
            return -b
        if clock != q.Clock.VIRTUAL:
            return b & 7
        if self.model.enabled[clock]:
            return self.virtual_ns() - (b & 7)
        return self.virtual_ns() + ((b & 15) - 4) * 5

    def arm(self, a, b):
        id, timer = self.timer_of(a)
        when = self.time_for(timer.clock, b)
        scaled = timer.clock != q.Clock.VIRTUAL and b & 24 == 24
        how = 2 if scaled else b >> 5 & 1
        (timer.mod if scaled else timer.mod_anticipate_ns if how else timer.mod_ns)(when)
        self.model.timer_mod(id, when, how, timer.expire_time_ns)

    def disarm(self, a, b):
        id, timer = self.timer_of(a)
        self.model.timer_del(id, timer.pending)
        timer.delete()

    def notify(self, a, b):
        self.model.notify()
        self.loop.notify()

    def switch_clock(self, a, b):
        clock = q.Clock.HOST if a & 1 else q.Clock.VIRTUAL
        on, since_ns = bool(b & 1), self.virtual_ns()
        q.clock_enable(clock, on)
        while clock == q.Clock.VIRTUAL and on and self.virtual_ns() < since_ns + 1000:
            pass
        self.model.clock(clock, on, self.virtual_ns())

    # ---- what runs callbacks

    def drive(self, function, *args):
        """Its answer, after a check of what it raised."""
        self.raised.append([])
        error = None
        try:
            answer = function(*args)
        except Planned as planned:
            error, answer = planned, None
            self.surfaced += 1
        finally:
            own = self.raised.pop()
        if self.problem is None and error is not (own[0] if own else None):
            raise Disagreement(f"{function} raised {error!r}, and the callbacks {own}")
        return answer

    def step(self, a, b):
        now_ns = self.virtual_ns()
        ns = b & 63 if b < 250 else -1
        self.model.step(ns, now_ns, False)
        try:
            answer = self.drive(q.clock_set, now_ns + ns)
        except (RuntimeError, ValueError):
            answer = self.model.stack[-1].refused or -1
        if self.problem is None:
            self.model.stepped(answer, self.virtual_ns())

    def look_once(self, a, b):
        self.wait(False)

    def sleep(self, a, b):
        self.wait(True)

    def wait(self, blocking):
        if self.depth >= MAX_DEPTH:
            return
        before = self.loop.info()["sleeps"]
        self.model.wait(blocking)
        self.depth += 1
        if blocking:
            self.set_guard()
        answer = self.drive(self.loop.wait, not blocking)
        self.depth -= 1
        self.set_guard()
        if self.problem is None:
            self.model.waited(answer, self.loop.info()["sleeps"] - before, False)

    def set_guard(self):
        if self.depth:
            self.guard.mod_ns(q.clock_get_ns() + GUARD_NS)
        else:
            self.guard.delete()

    # ---- the header's names, on the main loop

    def polling(self, a, b):
        if not self.on_main:
            return
        slot = a % 3
        id, func = self.polling_funcs.setdefault(slot, (slot - 1000, None))
        if func is None:
            func = self.callback(POLLING, id)
            self.polling_funcs[slot] = id, func
        if b & 1:
            q.qemu_add_polling_cb(func, slot)
            self.polling_count += 1
            self.model.polling_add(id, 0)
        else:
            self.model.polling_del(id)
            q.qemu_del_polling_cb(func, slot)

    def wait_object(self, a, b):
        if not self.on_main:
            return
        slot = a % self.files.number_count
        number = self.files.first_number + slot
        if b & 1:
            id = next(self.ids)
            answer = self.answered(
                q.qemu_add_wait_object, number, self.callback(OBJECT, id, slot), None)
            self.model.add_object(slot, id, answer)
        else:
            q.qemu_del_wait_object(number, None, None)
            self.model.del_object(slot)

    # ---- the end

    def check(self):
        if self.problem is not None:
            raise self.problem
        if self.depth == 0:
            lost = self.total_raised - self.surfaced - len(self.unraisable)
            assert lost == 0, f"{lost} exceptions were lost"

    def end(self):
        self.scripts.clear()
        try:
            if self.problem is None and not self.model.stack:
                self.wait(False)
                self.check()
        finally:
            self.problem = self.problem or Disagreement("over")
            self.clean_up()

    def clean_up(self):
        sys.unraisablehook = self.old_hook
        q.clock_enable(q.Clock.VIRTUAL, False)
        q.clock_enable(q.Clock.HOST, True)
        for slot in range(self.files.number_count):
            self.answered(self.loop.set_fd_handler, self.files.first_number + slot)
            q.qemu_del_wait_object(self.files.first_number + slot, None, None)
        for slot, (_, func) in self.polling_funcs.items():
            for _ in range(self.polling_count):
                q.qemu_del_polling_cb(func, slot)
        for _, timer in self.timers.values():
            timer.delete()
        self.guard.delete()
        for _, bh in self.bhs.values():
            bh.delete()
        self.timers.clear()
        self.bhs.clear()
        self.files.end()
        self.loop.wait(True)
