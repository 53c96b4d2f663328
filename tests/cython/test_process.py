"""What C sees before initialisation, of signals and of fork, each in a process of its own."""

import signal
from errno import EINVAL


def test_before_initialisation_functions_refuse_and_do_nothing(fresh_process):
    assert fresh_process("process.before_initialisation()") == {
        "main_loop_wait": -EINVAL,
        "qemu_set_fd_handler": -EINVAL,
        "qemu_set_fd_handler2": -EINVAL,
        "qemu_bh_new is NULL": True,
        "qemu_bh_poll": -EINVAL,
        "timeout": 1000,
        "qemu_add_child_watch": -EINVAL,
        "qemu_add_polling_cb": -EINVAL,
        "qemu_add_wait_object": -EINVAL,
        "qemu_mutex_iothread_locked": 0,
    }


def test_initialisation_takes_the_lock_the_first_time_only(fresh_process):
    once, twice = fresh_process("process.initialised_twice()")
    assert once == [0, 1]
    assert twice == [0, 1]


def test_sig_ipi_is_sigusr1(fresh_process):
    assert fresh_process("process.numbers()") == {
        name: getattr(signal, "SIGUSR1" if name == "SIG_IPI" else name)
        for name in ("SIG_IPI", "SIGIO", "SIGALRM", "SIGBUS")}


def test_initialisation_blocks_the_loop_s_signals_and_no_other(fresh_process):
    before, after = fresh_process("process.blocked()")
    assert before == []
    assert after == [signal.SIGUSR1, signal.SIGIO, signal.SIGALRM, signal.SIGBUS]


def test_signals_come_through_the_loop(fresh_process):
    assert fresh_process("process.delivered()") == {
        str(int(signo)): [0, 1] for signo in (signal.SIGIO, signal.SIGALRM, signal.SIGBUS)}


def test_an_ignored_signal_is_ignored(fresh_process):
    assert fresh_process("process.ignored()") == 0


def test_a_signal_with_its_default_action_ends_the_process(fresh_process):
    fresh_process("process.default_disposition()", returncode=-signal.SIGALRM)


def test_a_forked_child_has_the_mask_from_before(fresh_process):
    assert fresh_process("process.mask_of_a_forked_child()") == 0


def test_a_forked_child_that_initialises_gets_its_signals_through_its_loop(fresh_process):
    assert fresh_process("process.signals_of_a_child_that_initialises()") == [3, 3]


def test_what_a_child_blocks_itself_stays_blocked_in_its_own_child(fresh_process):
    assert fresh_process("process.mask_of_a_child_s_child()") == 1


def test_descriptor_zero_is_a_handle(fresh_process):
    assert fresh_process("process.descriptor_zero_as_a_handle()") == [0, 1, 0]
