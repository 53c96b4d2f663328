"""One command on a pseudo-terminal, its console shared by any number of clients.

    python -m qemu_mainloop run docs/examples/console_server.py
    nc -U console.sock                                  # in other terminals, as often as you like

    python -m qemu_mainloop run docs/examples/console_server.py \\
        --listen tcp:127.0.0.1:7000 -- qemu-system-x86_64 -nographic

A device back end that serves real clients, in plain Python: one thread, one main loop, no call that
blocks.  Two rules keep clients from harming one another.  Nobody is read from while there is no
room for what they say (can_read, the header's fd_read_poll), and nobody is waited for who does not
read (bounded queues, a write handler only while something is queued).

Windows has no pseudo-terminals: the command runs behind pipes there (see start_behind_pipes), and
clients come by TCP.
"""

import argparse
import contextlib
import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading

import qemu_mainloop as q

try:
    import pty
except ImportError:  # Windows
    pty = None

READ_BYTES = 65536  # taken from a descriptor in one go, before the others get their turn
INPUT_QUEUE_BYTES = 65536  # typed by clients, not read by the command yet
OUTPUT_QUEUE_BYTES = 262144  # for one client, beyond the scrollback
LINGER_S = 1.0  # what a client that has said all (echo 1+1 | nc -N) may wait for the answer
FLUSH_S = 2.0  # what clients get to fetch the last output once the command has ended
ACCEPT_PAUSE_S = 1.0  # after the process has run out of descriptors
GRACE_S = 2.0  # between asking the command to end and asking harder


def log(text):
    print(f"console_server: {text}", file=sys.stderr, flush=True)


def notice(text):
    """What the server itself says, on a line of its own in everybody's console."""
    return f"\r\n[console: {text}]\r\n".encode()


def arm(timer, seconds):
    """A timer takes the time at which it is due, on its clock; not an interval."""
    timer.mod_ns(q.clock_get_ns(q.Clock.REALTIME) + int(seconds * 1e9))


class Channel:
    """A non-blocking socket, and a queue of the bytes that it has not taken yet.

    Both ends of the server are one, the terminal (which talks as a socket does) and each client.
    Subclasses have can_read (is there room for more?), received, and gone (end-of-file, or the
    error).
    """

    def __init__(self, loop, sock):
        self.loop = loop
        self.sock = sock
        self.queue = bytearray()
        self.open = True
        sock.setblocking(False)
        self._watch()

    def send(self, data):
        """Queue data; mostly the descriptor takes it at once and the loop never hears of it."""
        if self.open:
            self.queue += data
            if not self.awaits_room:
                self._flush()

    def read(self):
        """Hand on what has arrived; False if that was nothing."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:  # readiness is a hint, not a promise
            return False
        except OSError as error:
            self.gone(error)
            return False
        if data:
            self.received(data)
        else:
            self.gone(None)
        return bool(data)

    def detach(self):
        """Leave the loop: before close(), after which the number is somebody else's."""
        if self.open:
            self.open = False
            self.queue.clear()
            self.loop.set_fd_handler(self.sock)

    def _flush(self):
        try:
            del self.queue[: self.sock.send(self.queue)]
        except BlockingIOError:
            pass
        except OSError as error:
            self.gone(error)
        if self.open and bool(self.queue) != self.awaits_room:
            self._watch()

    def _watch(self):
        """No write handler while nothing is queued: the loop would spin, for there is room."""
        self.awaits_room = bool(self.queue)
        write = self._flush if self.queue else None
        self.loop.set_fd_handler(self.sock, self.read, write, can_read=self.can_read)


class Terminal:
    """The master side of a pseudo-terminal."""

    def __init__(self, fd):
        self.fd = fd

    def fileno(self):
        return self.fd

    def setblocking(self, blocking):
        os.set_blocking(self.fd, blocking)

    def recv(self, size):
        return os.read(self.fd, size)

    def send(self, data):
        return os.write(self.fd, data)

    def close(self):
        os.close(self.fd)


def start_on_terminal(argv):
    """The command's number, and its terminal."""
    pid, fd = pty.fork()
    if pid:
        return pid, Terminal(fd)
    try:  # in the forked child: become the command, or say on its console why not
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ignored by Python; exec would keep that
        os.environ["TERM"] = "dumb"  # the clients' terminals are many and unknown
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)  # the shells' "cannot run it"


def start_behind_pipes(argv):
    """The command's number, and a socket that stands for its terminal.

    The loop of Windows takes sockets and no pipes, so two threads carry the bytes between those of
    the command and the far end of a pair of sockets.  They block for us, and so hand on that one
    side does not read.
    """
    near, far = socket.socketpair()
    for sock in near, far:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    process = subprocess.Popen(
        [shutil.which(argv[0]), *argv[1:]], bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        creationflags=subprocess.CREATE_NEW_PROCESS_GROUP)  # Ctrl-C at our console is for us

    def carry_input():
        with contextlib.suppress(OSError):  # the server has closed its end
            while data := far.recv(READ_BYTES):
                with contextlib.suppress(OSError):  # nobody reads any more: nothing is kept
                    while data:
                        data = data[process.stdin.write(data) :]
        process.stdin.close()

    def carry_output():
        with contextlib.suppress(OSError):
            while data := process.stdout.read(READ_BYTES):
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)  # after the last words: no process has the pipe open

    for target in carry_input, carry_output:
        threading.Thread(target=target, daemon=True).start()
    return process.pid, near


# What a closing terminal does to those who run on it, and then less politely.
HANG_UP = ((signal.SIGHUP, signal.SIGTERM, signal.SIGKILL) if pty else
           (signal.CTRL_BREAK_EVENT, signal.SIGTERM))


class Command(Channel):
    """The device: a process, and what we have of the terminal that it runs on."""

    def __init__(self, loop, argv, on_output, on_exit):
        self.received = on_output
        self.on_exit = on_exit
        self.returncode = None
        self.pid, terminal = (start_on_terminal if pty else start_behind_pipes)(argv)
        super().__init__(loop, terminal)
        loop.add_child_watch(self.pid, self._exited)

    def can_read(self):
        return True  # output is always taken: the clients' queues are bounded one by one

    def gone(self, error):
        self.detach()  # no process has the terminal open (Linux: EIO); the child watch says why

    def hang_up(self):
        """End the process as a closing terminal does, then less politely, and see it reaped.

        The loop goes on meanwhile: a command that says goodbye must find its terminal read.  It
        leads the terminal's session, so the kernel hangs up on its foreground processes with it.
        """
        for number in HANG_UP:
            if self.returncode is None:
                with contextlib.suppress(OSError):  # it has just ended; it has no console (Windows)
                    os.kill(self.pid, number)
                self.loop.run_until(lambda: self.returncode is not None, timeout=GRACE_S)
        self.detach()
        self.sock.close()

    def _exited(self, pid, returncode):
        # What it wrote before it ended may still be in the terminal, and must come first.  No more
        # than a terminal holds, though: a process that it left behind could write for ever.
        for _ in range(64):
            if not self.open or not self.read():
                break
        if pty is None:  # a thread is bringing it, and the end-of-file behind it
            self.loop.run_until(lambda: not self.open, timeout=FLUSH_S)
        self.returncode = returncode
        self.on_exit()


class Client(Channel):
    """One connection.  A client that reads too slowly loses old output, never the newest."""

    def __init__(self, server, sock, name):
        self.server = server
        self.name = name
        self.has_said_all = False
        self.timer = server.loop.timer_new(self._time_is_up)
        super().__init__(server.loop, sock)
        self._restart_timer()

    def can_read(self):
        """Asked before every wait; while it says no, the socket fills up and its sender waits."""
        return not self.has_said_all and len(self.server.command.queue) < INPUT_QUEUE_BYTES

    def send(self, data):
        super().send(data)
        if len(self.queue) > self.server.options.scrollback_bytes + OUTPUT_QUEUE_BYTES:
            self.queue[:] = notice("output skipped, you read too slowly") + self.server.scrollback

    def received(self, data):
        self._restart_timer()
        self.server.command.send(data)

    def gone(self, error):
        if error:
            self.server.drop(self, error.strerror)
        else:  # it says no more, but may well listen: an answer is due to `echo 1+1 | nc -N`
            self.has_said_all = True
            arm(self.timer, LINGER_S)

    def close(self):
        self.timer.delete()
        self.detach()
        self.sock.close()

    def _flush(self):
        super()._flush()
        self.server.stop_if_done()

    def _restart_timer(self):
        if self.server.options.idle_timeout_s:
            arm(self.timer, self.server.options.idle_timeout_s)

    def _time_is_up(self):
        if not self.has_said_all:
            idle_s = self.server.options.idle_timeout_s
            self.send(notice(f"nothing typed for {idle_s:g} s, goodbye"))
        self.server.drop(self, "left" if self.has_said_all else "idle")


class Listener:
    """The listening socket; where is the path of a UNIX one, or host and port."""

    def __init__(self, where):
        self.path = where if isinstance(where, str) else None
        if self.path is None:
            family, _, _, _, sockaddr = socket.getaddrinfo(*where, type=socket.SOCK_STREAM)[0]
            self.sock = socket.create_server(sockaddr, family=family)
            self.name = "tcp:{}:{}".format(*self.sock.getsockname())
        else:
            self._unlink_if_stale()
            self.sock = socket.socket(socket.AF_UNIX)
            umask = os.umask(0o177)  # who can connect can type: the owner, nobody else
            try:
                self.sock.bind(self.path)
            finally:
                os.umask(umask)
            self.sock.listen()
            self.file = os.lstat(self.path)
            self.name = f"unix:{self.path}"
        self.sock.setblocking(False)

    def _unlink_if_stale(self):
        """A killed server leaves its socket file, and bind() refuses a name that exists.  It is
        taken over only if it is a socket and nobody listens."""
        with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            if stat.S_ISSOCK(os.lstat(self.path).st_mode):
                if probe.connect_ex(self.path) == errno.ECONNREFUSED:
                    os.unlink(self.path)

    def close(self):
        with contextlib.suppress(FileNotFoundError):
            if self.path and os.path.samestat(os.lstat(self.path), self.file):
                os.unlink(self.path)  # ours, not one that another server has put there since
        self.sock.close()


class ConsoleServer:
    """All clients hear the command; the command hears all clients."""

    def __init__(self, loop, listener, options, argv):
        self.loop = loop
        self.listener = listener
        self.options = options
        self.scrollback = bytearray()
        self.clients = []
        self.served = 0
        self.accept_pause = loop.timer_new(lambda: None)
        self.flush_deadline = loop.timer_new(loop.stop)
        self.command = Command(loop, argv, self._on_output, self._on_exit)
        loop.set_fd_handler(listener.sock, self._accept, can_read=self._can_accept)

    def _can_accept(self):
        """fd_read_poll as the header means it.  While the house is full, the listening socket is
        not watched at all: the next client waits in the kernel's backlog, connected and able to
        type, at no cost to the loop.  The loop asks again before each wait, so the iteration in
        which somebody leaves is followed by one that lets the next one in."""
        return len(self.clients) < self.options.max_clients and not self.accept_pause.pending

    def _accept(self):
        """One client a time: whether there is a place for another is asked before the next wait."""
        try:
            sock, _ = self.listener.sock.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone again
        except OSError as error:  # EMFILE: still readable, so without a pause the loop would spin
            log(f"cannot accept: {error.strerror}")
            arm(self.accept_pause, ACCEPT_PAUSE_S)
            return
        if self.listener.path is None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # keystrokes, not bulk
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.served += 1
        client = Client(self, sock, f"client {self.served}")
        self.clients.append(client)
        log(f"{client.name} joined")
        client.send(self.scrollback)

    def drop(self, client, reason):
        if client in self.clients:
            self.clients.remove(client)
            client.close()
            log(f"{client.name} dropped: {reason}")
            self.stop_if_done()

    def _on_output(self, data):
        self.scrollback += data
        del self.scrollback[: max(0, len(self.scrollback) - self.options.scrollback_bytes)]
        self._broadcast(data)

    def _broadcast(self, data):
        for client in tuple(self.clients):  # one that turns out broken leaves the list
            client.send(data)

    def _on_exit(self):
        """Tell everybody, let nobody else in, and give the clients a while to fetch the rest."""
        code = self.command.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
        log(f"the command {how}")
        self._stop_listening()
        self._broadcast(notice(f"the command {how}"))
        arm(self.flush_deadline, FLUSH_S)
        self.stop_if_done()

    def stop_if_done(self):
        if self.flush_deadline.pending and not any(client.queue for client in self.clients):
            self.loop.stop()

    def _stop_listening(self):
        if self.listener.sock.fileno() >= 0:
            self.loop.set_fd_handler(self.listener.sock)
            self.listener.close()

    def close(self):
        """Leave nothing behind: no process, no socket file, no descriptor, no timer.

        Called when the loop has stopped.  Either the command has ended, and its status becomes ours
        (128 + the signal's number, as in a shell), or somebody has ended the server: 0.
        """
        code = self.command.returncode
        self._stop_listening()
        if code is None:
            self._broadcast(notice("the server ends"))
        self.command.hang_up()
        for client in tuple(self.clients):
            self.drop(client, "the server ends")
        self.flush_deadline.delete()
        self.accept_pause.delete()
        return 0 if code is None else code if code >= 0 else 128 - code


def address(text):
    """unix:PATH or tcp:HOST:PORT, as QEMU spells them."""
    kind, _, where = text.partition(":")
    host, _, port = where.rpartition(":")
    if kind == "unix" and where:
        if not hasattr(socket, "AF_UNIX"):
            raise argparse.ArgumentTypeError("no UNIX sockets here, listen on tcp:HOST:PORT")
        return text, where
    if kind == "tcp" and host and port.isdecimal() and int(port) < 65536:
        return text, (host.strip("[]"), int(port))
    raise argparse.ArgumentTypeError(f"{text!r} is neither unix:PATH nor tcp:HOST:PORT")


def parse_args(args):
    parser = argparse.ArgumentParser(
        prog="console_server.py", usage="%(prog)s [options] [--] [COMMAND [ARG ...]]",
        description="Share the console of a command (default: Python) on a socket.")
    option = parser.add_argument
    option("--listen", type=address, default="unix:console.sock", metavar="ADDRESS",
           help="unix:PATH or tcp:HOST:PORT (default: %(default)s)")
    option("--max-clients", type=int, default=8, metavar="N", help="others wait (%(default)s)")
    option("--idle-timeout", type=float, default=0, metavar="SECONDS", dest="idle_timeout_s",
           help="drop a client that types nothing for so long (0: never)")
    option("--scrollback", type=int, default=65536, metavar="BYTES", dest="scrollback_bytes",
           help="earlier output that a newcomer gets (%(default)s)")
    option("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(args)
    if options.max_clients < 1 or options.scrollback_bytes < 0 or options.idle_timeout_s < 0:
        parser.error("--max-clients is at least 1; --scrollback, --idle-timeout are not negative")
    argv = options.command[options.command[:1] == ["--"] :]
    return options, argv or [sys.executable, "-i", "-q"]


def main(loop, args):
    """What `python -m qemu_mainloop run` calls before the loop runs; it calls the result after."""
    options, argv = parse_args(args)
    text, where = options.listen
    if shutil.which(argv[0]) is None:
        log(f"cannot run {argv[0]}: no such command")
        return 127
    try:
        listener = Listener(where)
    except OSError as error:
        log(f"cannot listen on {text}: {error.strerror or error}")
        return 1
    server = ConsoleServer(loop, listener, options, argv)
    log(f"listening on {listener.name}")
    return server.close
