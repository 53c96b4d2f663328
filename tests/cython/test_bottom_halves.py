"""Bottom halves from C, through the public headers."""


def test_the_header_s_example_runs_until_its_bottom_half_says_stop(bottom_halves):
    assert bottom_halves.start_and_loop() == 5


def test_bottom_halves_run_in_the_order_of_scheduling(bottom_halves):
    assert bottom_halves.first_in_first_out(100) == list(range(99, -1, -1))


def test_scheduled_three_times_runs_once(bottom_halves):
    assert bottom_halves.scheduled_thrice() == 1


def test_a_cancelled_one_does_not_run(bottom_halves):
    assert bottom_halves.cancelled() == [1]


def test_one_that_schedules_itself_runs_once_an_iteration_and_keeps_the_loop_awake(bottom_halves):
    assert bottom_halves.schedules_itself(5) == [1, 2, 3, 4, 5]


def test_one_scheduled_inside_another_runs_in_the_same_iteration(bottom_halves):
    assert bottom_halves.schedules_another() == [100, 1]


def test_one_that_deletes_itself_does_not_run_again_though_scheduled(bottom_halves):
    assert bottom_halves.deletes_itself() == 1


def test_a_nested_wait_inside_one_runs_the_rest_once(bottom_halves):
    assert bottom_halves.nested_wait_inside() == [100, 1, 101]


def test_update_timeout_lowers_to_ten_for_an_idle_one_and_to_zero_for_another(bottom_halves):
    assert bottom_halves.timeouts(2**32 - 1) == (2**32 - 1, 10, 0)


def test_update_timeout_never_raises_the_timeout(bottom_halves):
    assert bottom_halves.timeouts(3) == (3, 3, 0)


def test_bh_poll_says_one_only_if_one_that_was_not_idle_ran(bottom_halves):
    assert bottom_halves.polled_by_hand() == (0, 0, 1, [0, 1])


def test_an_idle_one_ends_a_blocking_wait(bottom_halves):
    assert bottom_halves.idle_in_a_blocking_wait() == 1


def test_a_notification_before_a_blocking_wait_makes_it_return_zero(bottom_halves):
    assert bottom_halves.notified() == 0
