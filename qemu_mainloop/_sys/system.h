/*
 * system.h - which family of kernel interfaces the other headers of this folder use.
 *
 * QML_LINUX: epoll, eventfd, timerfd, signalfd, pidfd, futex.  QML_KQUEUE: kqueue(2).  A
 * build for tests (-Dkqueue=only) is given QML_LIKE_BSD, and has on Linux what a BSD has.
 */
#ifndef QEMU_MAINLOOP_SYS_SYSTEM_H
#define QEMU_MAINLOOP_SYS_SYSTEM_H

#if defined(__linux__) && !defined(QML_LIKE_BSD)
#define QML_LINUX 1
#endif

#if defined(__APPLE__) || defined(__FreeBSD__) || defined(QML_LIKE_BSD)
#define QML_KQUEUE 1
#endif

#endif
