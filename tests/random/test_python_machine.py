"""A state machine that drives the Python API, compared step by step with the model."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from python_program import Program, Script

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(600)      # the drivers are compiled first

NAMES = """set_handler remove_handler open_another close signal touch schedule schedule_idle cancel
    delete drop arm disarm notify switch_clock step look_once sleep polling wait_object""".split()

small = st.integers(0, 7)
byte = st.integers(0, 255)
operations = st.tuples(st.sampled_from(NAMES), small, byte)
scripts = st.builds(Script, st.lists(operations, max_size=3).map(tuple), st.booleans(),
                    st.booleans(), st.integers(0, 9).map(lambda n: n == 0))


class Machine(RuleBasedStateMachine):
    """One loop, and what its callbacks do."""

    fdmon = files = on_main = None

    def __init__(self):
        super().__init__()
        if self.on_main:
            loop = q.main_loop()
            if loop.fdmon != self.fdmon:
                loop._use_fdmon(self.fdmon)
        else:
            loop = q.MainLoop(fdmon=self.fdmon)
        self.program = Program(loop, self.files, self.on_main)

    @rule(a=small, b=byte, name=st.sampled_from(
        ["set_handler", "remove_handler", "open_another", "close", "signal", "touch",
         "wait_object"]))
    def files_and_handlers(self, name, a, b):
        self.program.operate(name, a, b)

    @rule(a=small, b=byte, name=st.sampled_from(
        ["schedule", "schedule_idle", "cancel", "delete", "drop", "notify", "polling"]))
    def bottom_halves(self, name, a, b):
        self.program.operate(name, a, b)

    @rule(a=small, b=byte, name=st.sampled_from(["arm", "disarm", "switch_clock"]))
    def timers(self, name, a, b):
        self.program.operate(name, a, b)

    @rule(scripts=st.lists(scripts, max_size=6), b=byte)
    def step_the_clock(self, scripts, b):
        self.program.scripts = type(self.program.scripts)(scripts)
        self.program.operate("step", 0, b)

    @rule(scripts=st.lists(scripts, max_size=10), blocking=st.booleans())
    def wait(self, scripts, blocking):
        self.program.scripts = type(self.program.scripts)(scripts)
        self.program.operate("sleep" if blocking else "look_once", 0, 0)

    @invariant()
    def agrees(self):
        self.program.check()

    def teardown(self):
        try:
            self.program.end()
        finally:
            self.program.loop.close()


def test_python_api_agrees_with_the_model(files, fdmon, on_main):
    """Rules of design.md sections 3 and 4, in random order and from inside callbacks."""
    machine = type("Machine", (Machine,),
                   {"fdmon": fdmon, "files": files, "on_main": on_main})
    run_state_machine_as_test(machine)
