/* Files behind a few fixed numbers, which the drivers open, fill, empty, close and reuse.
   What is ready is never modelled: poll(2) is asked after each change. */

#ifndef RANDOM_FILES_H
#define RANDOM_FILES_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NUMBERS = 6, FIRST_NUMBER = 400, FIRST_OTHER = 450, KEPT = 6 };
enum { EVENTFD, PIPE_READ, PIPE_WRITE, SOCKET, NULL_DEVICE, MEMORY, DUPLICATE, KINDS };

static struct {
    int kind, peer;             /* peer: the other end, -1: none */
} files[NUMBERS];
static int kept[KEPT];          /* duplicates of closed files, 0: none */
static int next_kept;
static char junk[8192];

/* Away from the small numbers, so that nobody gets one of ours by chance. */
static int file_move(int fd)
{
    int other = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OTHER);
    close(fd);
    return other;
}

static void file_keep(int slot)
{
    if (kept[next_kept])
        close(kept[next_kept]);
    kept[next_kept] = fcntl(FIRST_NUMBER + slot, F_DUPFD_CLOEXEC, FIRST_OTHER);
    if (kept[next_kept] < 0)
        kept[next_kept] = 0;
    next_kept = (next_kept + 1) % KEPT;
}

static void file_drop_peer(int slot)
{
    if (files[slot].peer >= 0)
        close(files[slot].peer);
    files[slot].peer = -1;
}

static void file_close(int slot, int keep)
{
    if (files[slot].kind < 0)
        return;
    if (keep)
        file_keep(slot);
    close(FIRST_NUMBER + slot);
    file_drop_peer(slot);
    files[slot].kind = -1;
}

/* The number names another file, as after close() and open(). */
static int file_open(int slot, int kind, int other)
{
    int ends[2] = { -1, -1 };
    int number = FIRST_NUMBER + slot;
    if (kind == EVENTFD)
        ends[0] = eventfd(0, EFD_NONBLOCK);
    else if (kind == PIPE_READ || kind == PIPE_WRITE) {
        if (pipe2(ends, O_NONBLOCK) == 0)
            fcntl(ends[0], F_SETPIPE_SZ, 4096);
        if (kind == PIPE_WRITE) {
            int end = ends[0];
            ends[0] = ends[1];
            ends[1] = end;
        }
    } else if (kind == SOCKET) {
        int size = 4096;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0)
            setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    } else if (kind == NULL_DEVICE)
        ends[0] = open("/dev/null", O_RDWR);
    else if (kind == MEMORY)
        ends[0] = memfd_create("random", 0);
    else if (files[other].kind >= 0)
        ends[0] = dup(FIRST_NUMBER + other);
    if (ends[0] < 0)
        return -1;
    file_drop_peer(slot);
    if (kind == DUPLICATE && other == slot) {
        close(ends[0]);
        return -1;
    }
    dup3(ends[0], number, O_CLOEXEC);
    close(ends[0]);
    files[slot].kind = kind == DUPLICATE ? files[other].kind : kind;
    files[slot].peer = ends[1] >= 0 ? file_move(ends[1]) : -1;
    return 0;
}

static void file_close_all(void)
{
    int i;
    for (i = 0; i < NUMBERS; i++)
        file_close(i, 0);
    for (i = 0; i < KEPT; i++) {
        if (kept[i])
            close(kept[i]);
        kept[i] = 0;
    }
}

static void file_forget_all(void)
{
    int i;
    for (i = 0; i < NUMBERS; i++)
        files[i].kind = files[i].peer = -1;
}

/* Makes it readable, or writable again. */
static void file_signal(int slot)
{
    uint64_t one = 1;
    if (files[slot].kind == EVENTFD)
        (void) !write(FIRST_NUMBER + slot, &one, sizeof one);
    else if (files[slot].peer >= 0 && files[slot].kind == PIPE_READ)
        (void) !write(files[slot].peer, "x", 1);
    else if (files[slot].peer >= 0 && files[slot].kind == PIPE_WRITE)
        while (read(files[slot].peer, junk, sizeof junk) > 0)
            ;
    else if (files[slot].peer >= 0 && files[slot].kind == SOCKET)
        (void) !send(files[slot].peer, "x", 1, MSG_NOSIGNAL);
}

static void file_drain(int slot)
{
    int kind = files[slot].kind;
    if (kind == EVENTFD)
        (void) !read(FIRST_NUMBER + slot, junk, 8);
    else if (kind == PIPE_READ || kind == SOCKET)
        while (read(FIRST_NUMBER + slot, junk, sizeof junk) > 0)
            ;
}

static void file_fill(int slot)
{
    if (files[slot].kind == SOCKET)
        while (send(FIRST_NUMBER + slot, junk, sizeof junk, MSG_NOSIGNAL) > 0)
            ;
    else if (files[slot].kind == PIPE_WRITE && files[slot].peer >= 0)
        while (write(FIRST_NUMBER + slot, junk, sizeof junk) > 0)
            ;
}

/* What poll(2) says of all of them. */
static void file_look(short *revents)
{
    struct pollfd p[NUMBERS];
    int i;
    for (i = 0; i < NUMBERS; i++) {
        p[i].fd = FIRST_NUMBER + i;
        p[i].events = POLLIN | POLLOUT;
        p[i].revents = 0;
    }
    poll(p, NUMBERS, 0);
    for (i = 0; i < NUMBERS; i++)
        revents[i] = p[i].revents;
}
#endif
