/*
 * sys/event.h - what kqueue(2) of FreeBSD and macOS declares, as far as this library and its
 * tests use it, for the stand-in beside it.  The values are of no system.
 */
#ifndef STANDIN_SYS_EVENT_H
#define STANDIN_SYS_EVENT_H

#include <stdint.h>
#include <time.h>

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned fflags;
    intptr_t data;
    void *udata;
};

enum {
    EVFILT_READ = -1, EVFILT_WRITE = -2, EVFILT_PROC = -5, EVFILT_SIGNAL = -6,
    EVFILT_TIMER = -7, EVFILT_USER = -11,
    EV_ADD = 0x1, EV_DELETE = 0x2, EV_ONESHOT = 0x10, EV_CLEAR = 0x20, EV_RECEIPT = 0x40,
    EV_ERROR = 0x4000, EV_EOF = 0x8000,
    NOTE_NSECONDS = 0x8, NOTE_TRIGGER = 0x01000000,
};
#define NOTE_EXIT 0x80000000u

#define EV_SET(e, a, b, c, d, f, g) do {                                     \
        struct kevent *set_ = (e);                                           \
        set_->ident = (a);                                                   \
        set_->filter = (short)(b);                                           \
        set_->flags = (unsigned short)(c);                                   \
        set_->fflags = (d);                                                  \
        set_->data = (f);                                                    \
        set_->udata = (g);                                                   \
    } while (0)

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events,
           int nevents, const struct timespec *timeout);

#endif
