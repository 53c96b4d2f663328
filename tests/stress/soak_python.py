"""The soak's scenarios that are driven from Python."""

import threading

import qemu_mainloop as q


def contention(contest, ms):
    """The iothread lock, wanted from everywhere."""
    lock = q.main_loop().lock
    over = threading.Event()
    turns = []

    def contend():
        mine = 0
        while not mine or not over.is_set():
            with lock:
                contest.touch()
                mine += 1
        turns.append(mine)

    threads = [threading.Thread(target=contend) for _ in range(2)]
    for thread in threads:
        thread.start()
    counts = contest.run(ms)
    over.set()
    for thread in threads:
        thread.join()
    contest.judge(sum(turns))
    return {**counts, "lock_python": sum(turns)}


def main_loop_turns(draw, rounds):
    """Timers and bottom halves on the main loop, one of which ends run()."""
    loop = q.main_loop()
    ran = []
    for _ in range(rounds):
        timer = loop.timer_new(loop.stop)
        timer.mod_ns(q.clock_get_ns(q.Clock.REALTIME) + draw.randrange(300_000))
        half = loop.bh_new(lambda: ran.append(1))
        half.schedule()
        loop.run()
        half.delete()
        timer.delete()
    if len(ran) != rounds:
        raise AssertionError(f"{len(ran)} of {rounds} bottom halves ran")
    return {"python_main_loop": rounds}


def run_and_stop(draw, rounds):
    """stop() from another thread against the beginning of run()."""
    entered, returned = threading.Semaphore(0), threading.Semaphore(0)
    lost = []
    with q.MainLoop() as loop:

        def stop():
            for _ in range(rounds):
                entered.acquire()
                for _ in range(draw.randrange(20)):
                    pass
                loop.stop()
                if not returned.acquire(timeout=20):
                    lost.append(1)
                    loop.stop()
                    return

        stopper = threading.Thread(target=stop)
        stopper.start()
        for _ in range(rounds):
            entered.release()
            loop.run()
            returned.release()
            if lost:
                raise AssertionError("run() did not end for 20 s after a stop()")
        stopper.join()
    return {"python_stops": rounds}


def lives(rounds):
    """IOThreads and loops, made, used and closed."""
    for _ in range(rounds):
        with q.IOThread("python's") as io, q.MainLoop() as loop:
            there = io.loop.bh_new(loop.stop)
            here = loop.bh_new(there.schedule)
            here.schedule()
            loop.run()
    return {"python_lives": rounds}
