"""Threads that act when a loop sleeps, or that are about to poll memory."""

import os
import threading
import time


def start_when_asleep(loop, action):
    """A started thread that calls action() once the loop has gone to sleep anew."""
    before = loop.info()["sleeps"]

    def run():
        while loop.info()["sleeps"] == before:
            os.sched_yield()
        action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def until_it_spins(thread):
    """Returns when the thread has been busy for a while."""
    clock = time.pthread_getcpuclockid(thread.ident)
    begin = time.clock_gettime(clock)
    while time.clock_gettime(clock) < begin + 0.01:
        os.sched_yield()
