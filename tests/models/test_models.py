"""The protocols, checked in every interleaving; and that leaving a part out breaks them.

QEMU_MAINLOOP_MODELS=large takes more threads.  States explored are printed
(pytest -rP) and recorded as a property of the test.
"""

import os
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CORE = HERE.parents[1] / "qemu_mainloop"
MODELS = sorted(path.name for path in HERE.glob("*.pml"))
IS_LARGE = os.environ.get("QEMU_MAINLOOP_MODELS") == "large"

LOST = "no wake-up was lost"
LATE = "no notify returns over a sleeper"
CYCLE = "acceptance cycle"
NOT_RUN = "a run follows every schedule"
IN_ORDER = "first come, first served"
GRANT = "no grant is lost"

GOOD = [
    ("notify.pml", "BLOCKING NOTIFIERS=2 ROUNDS=2", False),
    ("notify.pml", "BLOCKING NOTIFIERS=1 WITH_KICKER", False),
    ("notify.pml", "BLOCKING NOTIFIERS=1 WITH_HANDLER", False),
    ("notify.pml", "BLOCKING NOTIFIERS=0 WITH_KICKER WITH_CHANGER", True),
    ("notify.pml", "HOSTED NOTIFIERS=1 WITH_KICKER", False),
    ("notify.pml", "HOSTED NOTIFIERS=0 WITH_KICKER WITH_CHANGER", False),
    ("notify.pml", "POLLING NOTIFIERS=1 WITH_KICKER", False),
    ("notify.pml", "POLLING NOTIFIERS=0 WITH_KICKER", True),
    ("notify.pml", "POLLING NOTIFIERS=0 WITH_KICKER WITH_CHANGER", False),
    ("notify.pml", "FOREIGN NOTIFIERS=1 WITH_KICKER", False),
    ("notify.pml", "FOREIGN NOTIFIERS=0 WITH_KICKER WITH_CHANGER", False),
    ("bh.pml", "PRODUCERS=2", False),
    ("bh.pml", "PRODUCERS=2 WITH_CANCEL WITH_IDLE", False),
    ("bh.pml", "PRODUCERS=1 HANDLER SELF", False),
    ("lock.pml", "SLEEPS", False),
    ("lock.pml", "SLEEPS TIMES", False),
    ("lock.pml", "SLEEPS ASKS", False),
    ("lock.pml", "VISITORS=2", True),
    ("lock.pml", "SLEEPS TIMES", True),
    ("lock.pml", "ASKS", True),
]
LARGE = [
    ("lock.pml", "VISITORS=3 ROUNDS=1 SLEEPS TIMES", False),
    ("lock.pml", "VISITORS=3 SLEEPS TIMES", True),
    ("bh.pml", "SHARED=2", False),
    ("bh.pml", "DELETES", False),
    ("bh.pml", "ONESHOT", False),
    ("notify.pml", "BLOCKING NOTIFIERS=1 WITH_KICKER WITH_CHANGER", False),
    ("notify.pml", "HOSTED NOTIFIERS=1 WITH_KICKER WITH_CHANGER", False),
    ("notify.pml", "POLLING NOTIFIERS=1 WITH_KICKER", True),
    ("notify.pml", "FOREIGN NOTIFIERS=1 WITH_KICKER WITH_CHANGER", False),
]
BROKEN = [
    ("notify.pml", "NO_W2 BLOCKING NOTIFIERS=1", False, f"{LOST}|{LATE}"),
    ("notify.pml", "NO_W2 BLOCKING NOTIFIERS=0 WITH_KICKER", False, LOST),
    ("notify.pml", "NO_S2 NO_HANDSHAKE BLOCKING NOTIFIERS=0 WITH_KICKER", False, LOST),
    ("notify.pml", "LOOK_FIRST BLOCKING NOTIFIERS=0 WITH_KICKER", False, LOST),
    ("notify.pml", "CLEAR_LAST BLOCKING NOTIFIERS=1 ROUNDS=2", False, f"{LOST}|{LATE}"),
    ("notify.pml", "SKIP_WRITE BLOCKING NOTIFIERS=2", False, LATE),
    ("notify.pml", "STOLEN BLOCKING NOTIFIERS=1", False, f"{LOST}|{LATE}"),
    ("notify.pml", "MINE_ONLY BLOCKING NOTIFIERS=0 WITH_HANDLER", False, LOST),
    ("notify.pml", "NO_HANDSHAKE BLOCKING NOTIFIERS=0 WITH_CHANGER", False, LOST),
    ("notify.pml", "HOST_NO_LOOK HOSTED NOTIFIERS=0 WITH_KICKER", False, LOST),
    ("notify.pml", "NO_HANDSHAKE POLLING NOTIFIERS=0 WITH_CHANGER", False, LOST),
    ("notify.pml", "ASLEEP_UNSAID POLLING NOTIFIERS=0 WITH_KICKER", False, LOST),
    ("notify.pml", "EMPTY_REPORT POLLING NOTIFIERS=0 WITH_KICKER", True, CYCLE),
    ("notify.pml", "FOREIGN_LATE FOREIGN NOTIFIERS=0 WITH_KICKER", False, LOST),
    ("bh.pml", "SKIP_FENCE", False, NOT_RUN),
    ("bh.pml", "FREE_LATE", False, NOT_RUN),
    ("bh.pml", "KICK_FIRST PRODUCERS=1", False, NOT_RUN),
    ("bh.pml", "PUSH_TWICE WITH_CANCEL ROUNDS=2", False, "in the queue at most once"),
    ("bh.pml", "LOOK_AND_SET WITH_CANCEL", False, "a run for each schedule, and no other"),
    ("bh.pml", "DELETE_AT_ONCE DELETES", False, "nobody touches a freed one"),
    ("bh.pml", "TOUCH_AFTER ONESHOT", False, "nobody touches a freed one"),
    ("bh.pml", "FORGET_LATER SELF PRODUCERS=1", False, NOT_RUN),
    ("lock.pml", "BARGING", False, IN_ORDER),
    ("lock.pml", "LEAVE_GRANTED TIMES", False, GRANT),
    ("lock.pml", "TO_THE_AWAY ASKS", False, GRANT),
    ("lock.pml", "NOBODY_AT_HOME ASKS", False, f"{GRANT}|{IN_ORDER}"),
    ("lock.pml", "NOT_COUNTED", True, CYCLE),
    ("lock.pml", "BLOCKING_ONLY", True, CYCLE),
    ("lock.pml", "FLAG", True, CYCLE),
]


def idea(case):
    return f"{case[0]}: {case[1]}" + (" (live)" if case[2] else "")


@pytest.mark.slow
@pytest.mark.timeout(4000 if IS_LARGE else 120)
@pytest.mark.parametrize("case", GOOD + (LARGE if IS_LARGE else []), ids=idea)
def test_the_protocol_holds(case, check, record_property):
    found = check(*case)
    assert found.errors == 0, found.reason + found.output
    assert found.complete, found.output
    record_property("states", found.states)
    print(f"{idea(case)}: {found.states} states")


@pytest.mark.slow
@pytest.mark.parametrize("case", BROKEN, ids=idea)
def test_what_is_left_out_is_needed(case, check, record_property):
    *case, reason = case
    found = check(*case)
    assert found.errors, f"{found.states} states and no error\n{found.output}"
    assert re.search(reason, found.reason), found.reason
    record_property("states", found.states)
    print(f"{idea(case)}: {found.reason} ({found.states} states)")


@pytest.mark.parametrize("model", MODELS)
def test_the_modelled_lines_are_the_codes(model):
    """Whoever changes one of them has to look at the model."""
    quotes = re.findall(r"^ \*= (\w+\.\w+): (.*)$", (HERE / model).read_text(), re.MULTILINE)
    assert quotes
    for name, text in quotes:
        code = "\n".join(path.read_text() for path in CORE.rglob(name))
        assert text in code, f"{name} has no line {text!r}"


@pytest.mark.parametrize("model", MODELS)
def test_each_part_that_is_left_out_has_a_test(model):
    text = (HERE / model).read_text()
    switches = set(re.findall(r"^ \*   ([A-Z][A-Z0-9_]+) ", text, re.MULTILINE))
    assert switches == {case[1].split()[0] for case in BROKEN if case[0] == model}
