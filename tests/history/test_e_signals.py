"""Signals of a C program, and of threads: bugs E1 to E9 of docs/reliability.md."""

import signal

import pytest

import qemu_mainloop as q

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def test_e2_making_a_thread_leaves_the_makers_mask_alone(elsewhere):
    before, during, after = elsewhere("signals.mask_after_an_iothread()")
    assert before == during == after


def test_e3_the_loop_takes_no_sig_ipi(elsewhere):
    """It is for other threads: blocked here, and in nobody's signalfd."""
    assert elsewhere("signals.ipi_is_left_alone()") == [True, 0]


def test_e4_an_iothread_blocks_signals_but_not_those_of_its_own_faults():
    masks = []
    done = q.main_loop()
    with q.IOThread("history") as io:
        bh = io.loop.bh_new(lambda: (
            masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, [])), done.notify()))
        bh.schedule()
        assert done.run_until(lambda: masks, timeout=10)
    faults = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP}
    assert not masks[0] & faults
    assert {signal.SIGALRM, signal.SIGIO, signal.SIGUSR1, signal.SIGINT} <= masks[0]


def test_e5_the_handler_of_a_trapped_signal_blocks_no_other(loop, signals):
    loop.add_signal_handler(signal.SIGUSR2, lambda: None)
    assert signals.mask_of_handler(signal.SIGUSR2) == 0
    loop.remove_signal_handler(signal.SIGUSR2)


@pytest.mark.parametrize("signo", [signal.SIGIO, signal.SIGALRM, signal.SIGBUS])
def test_e6_a_handler_is_told_who_sent_a_signal_and_with_what(elsewhere, signo):
    told = elsewhere(f"signals.details({int(signo)}, 4711)")
    assert told == {"runs": 1, "signo": signo, "value": 4711, "is_our_pid": True,
                    "is_our_uid": True, "is_queued": True}


@pytest.mark.parametrize("more", range(3))
def test_e8_an_init_that_fails_leaves_nothing_and_may_be_tried_again(elsewhere, more):
    """No lock held, no signal blocked; a second try with descriptors enough succeeds."""
    first, second = elsewhere(f"signals.initialised_without_descriptors({more})")
    assert first[0] < 0
    assert first[1:] == [False, 0]
    assert second == [0, True, 4]
