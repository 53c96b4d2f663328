"""Threads that act when a loop sleeps."""

import os
import threading


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
