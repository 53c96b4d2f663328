# The files behind fixed numbers (files.h), for drivers in Python.

cdef extern from "files.h" nogil:
    enum: NUMBERS, FIRST_NUMBER, KINDS
    void file_close(int slot, int keep)
    int file_open(int slot, int kind, int other)
    void file_close_all()
    void file_forget_all()
    void file_drop_peer(int slot)
    void file_signal(int slot)
    void file_drain(int slot)
    void file_fill(int slot)
    void file_look(short *revents)

number_count = NUMBERS
first_number = FIRST_NUMBER
kinds = KINDS


def begin():
    file_forget_all()


def end():
    file_close_all()


def open_another(int slot, int kind, int other):
    return file_open(slot, kind, other) == 0


def close(int slot, bint keep):
    file_close(slot, keep)


def signal(int slot):
    file_signal(slot)


def drain(int slot):
    file_drain(slot)


def fill(int slot):
    file_fill(slot)


def hang_up(int slot):
    file_drop_peer(slot)


def look():
    """What poll(2) says of each number."""
    cdef short revents[NUMBERS]
    file_look(revents)
    return [revents[i] for i in range(NUMBERS)]
