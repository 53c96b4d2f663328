# Handles, any number of them.

from libc.errno cimport ENOMEM
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from qemu_mainloop._fdmon.pollset cimport (
    pollset_clear, pollset_free, pollset_has, pollset_put, pollset_remove)
from qemu_mainloop._sys.posix cimport POLLIN, POLLNVAL
from qemu_mainloop._sys.thread cimport thread_join, thread_set_name, thread_start
from qemu_mainloop._sys.win32 cimport (
    WAIT_MOST, WAIT_NOTHING, event_open, event_reset, event_set, fd_handle,
    handle_close, handle_give_back, handle_stays, handles_wait)

cdef enum:
    A_GROUP = WAIT_MOST - 1      # beside its stop
    NO_GROUPS_MS = 10            # how often to look at all where there are no threads to be had


cdef int handleset_open(HandleSet *s) noexcept nogil:
    memset(s, 0, sizeof(HandleSet))
    s.handles = <Handle *> calloc(WAIT_MOST, sizeof(Handle))
    return 0 if s.handles != NULL else -ENOMEM


cdef void handleset_close(HandleSet *s) noexcept nogil:
    handleset_clear(s)
    pollset_free(&s.members)
    end_groups(s)
    free(s.handles)


# ---- members

cdef int handleset_put(HandleSet *s, int fd, unsigned int tag) noexcept nogil:
    cdef int i
    cdef short found = 0
    if pollset_has(&s.members, fd):
        # Replaced by another registration: what was found is for that one.
        found = s.members.fds[s.members.place[fd] - 1].revents
    if pollset_put(&s.members, fd, tag, POLLIN) < 0:
        return -ENOMEM
    i = s.members.place[fd] - 1
    s.members.members[i].heat = handle_stays(fd_handle(fd))
    s.members.fds[i].revents = found
    return 0


cdef void give_back(HandleSet *s, int i) noexcept nogil:
    if s.members.fds[i].revents:
        handle_give_back(fd_handle(s.members.fds[i].fd))


cdef void handleset_remove(HandleSet *s, int fd) noexcept nogil:
    if pollset_has(&s.members, fd):
        give_back(s, s.members.place[fd] - 1)
        pollset_remove(&s.members, fd)


cdef void handleset_clear(HandleSet *s) noexcept nogil:
    cdef int i
    for i in range(s.members.n):
        give_back(s, i)
    pollset_clear(&s.members)


cdef void handleset_taken(HandleSet *s, int fd) noexcept nogil:
    if pollset_has(&s.members, fd):
        s.members.fds[s.members.place[fd] - 1].revents = 0


# ---- looking

cdef void note(HandleSet *s, int i) noexcept nogil:
    if not s.members.members[i].heat:
        s.members.fds[i].revents = POLLIN


cdef void report(HandleSet *s, int i, int events, FDReady *ready) noexcept nogil:
    ready.fd = s.members.fds[i].fd
    ready.tag = s.members.members[i].tag
    ready.events = events
    ready.by_number = True


# The members from `first` on that nothing was found of, as handles: how many, at most `most`.
# *next_: where to go on.
cdef int list_members(HandleSet *s, int first, Handle *handles, int most,
                      int *next_) noexcept nogil:
    cdef int n = 0
    cdef int i = first
    while i < s.members.n and n < most:
        if not s.members.fds[i].revents:
            handles[n] = fd_handle(s.members.fds[i].fd)
            n += 1
        i += 1
    next_[0] = i
    return n


# The index in the set of the k-th that list_members listed.
cdef int listed(HandleSet *s, int first, int k) noexcept nogil:
    cdef int i = first
    while True:
        if not s.members.fds[i].revents:
            if k == 0:
                return i
            k -= 1
        i += 1


# One handle after the other: who cannot be waited for is reported as closed.
cdef int look_at_each(HandleSet *s, int first, int end, FDReady *ready, int max) noexcept nogil:
    cdef Handle handle
    cdef int i, rc
    cdef int reported = 0
    for i in range(first, end):
        if s.members.fds[i].revents or reported == max:
            continue
        handle = fd_handle(s.members.fds[i].fd)
        rc = handles_wait(&handle, 1, 0)
        if rc == WAIT_NOTHING:
            continue
        report(s, i, POLLIN if rc == 0 else POLLNVAL, &ready[reported])
        reported += 1
        if rc == 0:
            note(s, i)
    return reported


# Those from `first` on; in groups, a call for each group and for each one that is found.
cdef int look_from(HandleSet *s, int first, FDReady *ready, int max) noexcept nogil:
    cdef int reported = 0
    cdef int end = first
    cdef int n, rc, i
    while first < s.members.n and reported < max:
        n = list_members(s, first, s.handles, WAIT_MOST, &end)
        if n == 0:
            break
        rc = handles_wait(s.handles, n, 0)
        if rc == WAIT_NOTHING:
            first = end
        elif rc < 0:
            reported += look_at_each(s, first, end, ready + reported, max - reported)
            first = end
        else:
            i = listed(s, first, rc)
            report(s, i, POLLIN, &ready[reported])
            reported += 1
            note(s, i)
            first = i + 1
    return reported


cdef int handleset_look(HandleSet *s, FDReady *ready, int max) noexcept nogil:
    # What was found before comes first: it must not be found again.
    cdef int reported = 0
    cdef int i
    for i in range(s.members.n):
        if s.members.fds[i].revents and reported < max:
            report(s, i, POLLIN, &ready[reported])
            reported += 1
    # Who is found from here on is noted, so those of before are counted by now.
    return reported + look_from(s, 0, ready + reported, max - reported)


# ---- waiting

cdef int handleset_wait(HandleSet *s, const Handle *others, int n) noexcept nogil:
    cdef int i, rc
    cdef int first = 0
    cdef int count = n
    cdef int ms = -1
    for i in range(n):
        s.handles[i] = others[i]
    if n + s.members.n > WAIT_MOST:
        if make_groups(s, n) < 0:
            ms = NO_GROUPS_MS            # some are not waited for
        else:
            s.handles[count] = s.woken
            count += 1
    first = count
    count += list_members(s, 0, s.handles + first, WAIT_MOST - first, &i)
    if ms < 0 and i < s.members.n:
        begin_groups(s, i)
    rc = handles_wait(s.handles, count, ms)
    if ms < 0 and i < s.members.n:
        finish_groups(s)
    if rc >= first:
        note(s, listed(s, 0, rc - first))
    return rc if 0 <= rc < n else -1


# ---- groups beyond what one wait takes

cdef void *wait_in_group(void *arg) noexcept nogil:
    cdef HandleGroup *g = <HandleGroup *> arg
    thread_set_name("wait objects")
    while True:
        handles_wait(&g.begin, 1, -1)
        if g.is_over:
            return NULL
        # The stop is first: when it is set nothing else is used up.
        g.found = handles_wait(g.handles, g.n, -1)
        if g.found != 0:
            event_set(g.woken)
        event_set(g.ended)


cdef void free_group(HandleGroup *g) noexcept nogil:
    if g.begin != NULL:
        handle_close(g.begin)
    if g.ended != NULL:
        handle_close(g.ended)
    free(g.handles)
    free(g)


cdef HandleGroup *new_group(HandleSet *s) noexcept nogil:
    cdef HandleGroup *g = <HandleGroup *> calloc(1, sizeof(HandleGroup))
    if g == NULL:
        return NULL
    g.begin = event_open(False)
    g.ended = event_open(False)
    g.handles = <Handle *> calloc(WAIT_MOST, sizeof(Handle))
    g.woken = s.woken
    g.stop = s.stop
    if (g.begin == NULL or g.ended == NULL or g.handles == NULL
            or thread_start(&g.thread, wait_in_group, g) < 0):
        free_group(g)
        return NULL
    return g


# As many as the members need beside one wait with n others and the groups' event.
cdef int make_groups(HandleSet *s, int n) noexcept nogil:
    cdef int wanted = (s.members.n - (WAIT_MOST - n - 1) + A_GROUP - 1) // A_GROUP
    cdef HandleGroup **groups
    if s.stop == NULL:
        s.stop = event_open(True)
    if s.woken == NULL:
        s.woken = event_open(False)
    if s.stop == NULL or s.woken == NULL:
        return -ENOMEM
    if wanted > s.group_count:
        groups = <HandleGroup **> realloc(s.groups, wanted * sizeof(HandleGroup *))
        if groups == NULL:
            return -ENOMEM
        s.groups = groups
    while s.group_count < wanted:
        s.groups[s.group_count] = new_group(s)
        if s.groups[s.group_count] == NULL:
            return -ENOMEM
        s.group_count += 1
    return 0


# Nothing was found of any member, or the owner would not sleep.
cdef void begin_groups(HandleSet *s, int first) noexcept nogil:
    cdef HandleGroup *g
    cdef int i
    for i in range(s.group_count):
        g = s.groups[i]
        g.first = first
        g.handles[0] = s.stop
        g.n = 1 + list_members(s, first, g.handles + 1, A_GROUP, &first)
        if g.n > 1:
            event_set(g.begin)


cdef void finish_groups(HandleSet *s) noexcept nogil:
    cdef HandleGroup *g
    cdef int i
    event_set(s.stop)
    for i in range(s.group_count):
        g = s.groups[i]
        if g.n > 1:
            handles_wait(&g.ended, 1, -1)
    event_reset(s.stop)
    event_reset(s.woken)
    # Noted when all have ended: what a member is listed as depends on what was found.
    for i in range(s.group_count - 1, -1, -1):
        g = s.groups[i]
        if g.n > 1 and g.found > 0:
            note(s, listed(s, g.first, g.found - 1))


cdef void end_groups(HandleSet *s) noexcept nogil:
    cdef HandleGroup *g
    cdef int i
    for i in range(s.group_count):
        g = s.groups[i]
        g.is_over = True
        event_set(g.begin)
        thread_join(g.thread)
        free_group(g)
    free(s.groups)
    if s.stop != NULL:
        handle_close(s.stop)
    if s.woken != NULL:
        handle_close(s.woken)
