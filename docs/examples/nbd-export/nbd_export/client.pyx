# A client works in turns.  A turn begins when the socket can be read or written, or
# when the turn before used up its budget, and ends when there is nothing left to
# do, when the socket takes no more replies, or when the budget is used up.

from libc.errno cimport EAGAIN, ENOMEM
from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free

from nbd_export.handshake cimport handshake_greet, handshake_step
from nbd_export.stream cimport (
    DROP, GO_ON, HANG_UP, NEED_INPUT, NEED_OUTPUT, SENT_ALL, SENT_BLOCKED, SENT_BROKEN, Sent,
    Verdict, stream_close, stream_has_output, stream_open, stream_receive, stream_send)
from nbd_export.transmission cimport (
    transmission_close, transmission_open, transmission_received, transmission_step,
    transmission_target)
from qemu_mainloop.main_loop cimport (
    IOHandler, qemu_bh_delete, qemu_bh_new, qemu_bh_schedule, qemu_set_fd_handler)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, qemu_clock_get_ms, timer_free, timer_mod, timer_new_ms)

cdef enum:
    # Some milliseconds of copying: how long one client may keep the others waiting.
    TURN_BUDGET_BYTES = 4 << 20


cdef int client_add(Clients *clients, int fd) noexcept nogil:
    cdef Client *client = <Client *> calloc(1, sizeof(Client))
    cdef bint buffered = clients.export.disk.memory == NULL
    if client == NULL:
        return -ENOMEM
    client.clients = clients
    client.next = clients.first
    if clients.first != NULL:
        clients.first.previous = client
    clients.first = client
    clients.count += 1
    client.next_turn = qemu_bh_new(client_turn, client)
    client.handshake_timer = timer_new_ms(QEMU_CLOCK_REALTIME, client_timed_out, client)
    if (stream_open(&client.stream, fd, buffered) < 0
            or transmission_open(&client.transmission, buffered) < 0
            or client.next_turn == NULL or client.handshake_timer == NULL):
        client_remove(client)
        return -ENOMEM
    timer_mod(client.handshake_timer,
              qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + clients.handshake_timeout_ms)
    handshake_greet(&client.handshake, &client.stream)
    client_turn(client)
    return 0


# No callback of the client is started after this, so its memory can go at once.
cdef void client_remove(Client *client) noexcept nogil:
    cdef Clients *clients = client.clients
    if client.previous != NULL:
        client.previous.next = client.next
    else:
        clients.first = client.next
    if client.next != NULL:
        client.next.previous = client.previous
    clients.count -= 1
    client_watch(client, False, False)
    qemu_bh_delete(client.next_turn)
    timer_free(client.handshake_timer)
    transmission_close(&client.transmission)
    stream_close(&client.stream)
    free(client)


cdef void clients_close(Clients *clients) noexcept nogil:
    while clients.first != NULL:
        client_remove(clients.first)


# Handler: the socket can be read.
cdef void client_readable(void *opaque) noexcept nogil:
    cdef Client *client = <Client *> opaque
    cdef size_t target_bytes
    cdef uint8_t *target = transmission_target(
        &client.transmission, &client.clients.export, &target_bytes)
    cdef ssize_t got = stream_receive(&client.stream, target, target_bytes)
    if got == -EAGAIN:
        return
    if got < 0:
        client_remove(client)
        return
    if got == 0:
        client.hanging_up = True    # it may still want the answers to what it has asked
    elif target_bytes > 0:
        transmission_received(&client.transmission, &client.clients.export,
                              <uint32_t> min(<size_t> got, target_bytes))
    client_turn(client)


# Handler: the socket takes replies again.  Bottom half: it is this client's turn.
cdef void client_turn(void *opaque) noexcept nogil:
    cdef Client *client = <Client *> opaque
    cdef int64_t budget_bytes = TURN_BUDGET_BYTES
    cdef Verdict verdict = GO_ON
    cdef Sent sent = SENT_ALL
    while verdict == GO_ON and budget_bytes > 0:
        verdict = client_step(client, &budget_bytes)
        if verdict == NEED_OUTPUT:
            sent = stream_send(&client.stream)
            if sent == SENT_ALL:
                verdict = GO_ON
    # Replies wait here until there is nothing more to add: one call sends them all.
    if sent == SENT_ALL and verdict != DROP and stream_has_output(&client.stream):
        sent = stream_send(&client.stream)
    if (sent == SENT_BROKEN or verdict == DROP
            or (verdict == HANG_UP and sent == SENT_ALL)):
        client_remove(client)
        return
    if verdict == GO_ON:
        qemu_bh_schedule(client.next_turn)
    # While the client takes no replies, or while there is work left over, nothing more
    # is received from it: its requests wait in the socket, and in the end with it.
    if client_watch(client, verdict == NEED_INPUT, sent == SENT_BLOCKED) < 0:
        client_remove(client)


cdef Verdict client_step(Client *client, int64_t *budget_bytes) noexcept nogil:
    cdef Verdict verdict
    if client.hanging_up:
        return HANG_UP
    if client.handshake_timer == NULL:
        verdict = transmission_step(&client.transmission, &client.stream,
                                    &client.clients.export, budget_bytes)
    else:
        verdict = handshake_step(&client.handshake, &client.stream, &client.clients.export)
        if client.handshake.done:
            timer_free(client.handshake_timer)
            client.handshake_timer = NULL
    client.hanging_up = verdict == HANG_UP
    return verdict


cdef int client_watch(Client *client, bint for_input, bint for_output) noexcept nogil:
    cdef IOHandler *readable = NULL
    cdef IOHandler *writable = NULL
    if for_input == client.watched_for_input and for_output == client.watched_for_output:
        return 0
    client.watched_for_input = for_input
    client.watched_for_output = for_output
    if for_input:
        readable = client_readable
    if for_output:
        writable = client_turn
    return qemu_set_fd_handler(client.stream.fd, readable, writable, client)


# Timer: a client that does not get on with the handshake keeps others out.
cdef void client_timed_out(void *opaque) noexcept nogil:
    client_remove(<Client *> opaque)
