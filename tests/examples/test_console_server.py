"""docs/examples/console_server.py, started as its reader would and used by real clients.

Nothing here waits for a length of time: everything waits for bytes, or for an end, with a deadline
that only a failure reaches.
"""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "console_server.py"
DEADLINE_S = 30.0
PROMPT = rb">>> "

pytestmark = [
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="there are no pseudo-terminals here"),
    pytest.mark.skipif(not EXAMPLE.exists(), reason="docs/ is not beside these tests"),
]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def nc_speaks_unix():
    if shutil.which("nc") is None:
        return False
    told = subprocess.run(["nc", "-h"], capture_output=True, check=False)
    return b"U" in b"".join(re.findall(rb"-(\w+)", told.stdout + told.stderr))


class Stream:
    """What arrives at a descriptor, read as a test asks for it."""

    def __init__(self, file):
        self.file = file
        self.data = b""  # not asked for yet
        self.received = 0

    def _read(self, deadline):
        """More data, or b"" at the end; a reset peer has ended too."""
        ready, _, _ = select.select([self.file], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            pytest.fail(f"nothing more arrived in time; the last was {self.data[-500:]!r}")
        try:
            data = os.read(self.file.fileno(), 65536)
        except ConnectionResetError:
            data = b""
        self.received += len(data)
        return data

    def expect(self, pattern):
        """Everything up to the first match of pattern, which spans at most 500 bytes."""
        deadline = time.monotonic() + DEADLINE_S
        start = 0
        while not (match := re.compile(pattern).search(self.data, start)):
            start = max(0, len(self.data) - 500)
            data = self._read(deadline)
            if not data:
                pytest.fail(f"ended before {pattern!r}: {self.data[-500:]!r}")
            self.data += data
        until, self.data = self.data[: match.end()], self.data[match.end() :]
        return until

    def expect_end(self):
        """Everything up to end-of-file."""
        deadline = time.monotonic() + DEADLINE_S
        while data := self._read(deadline):
            self.data += data
        rest, self.data = self.data, b""
        return rest

    def has_arrived(self):
        return bool(self.data) or bool(select.select([self.file], [], [], 0)[0])


class Client(Stream):
    """A raw socket at the console."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(address)
        super().__init__(self.socket)

    def type(self, text):
        self.socket.sendall(text)

    def evaluates(self, expression, value):
        """A round trip through an interactive Python."""
        self.type(f"{expression}\n".encode())
        return self.expect(rf"\r\n{re.escape(value)}\r\n".encode())

    def close(self):
        self.socket.close()


class Server:
    """The example in a process of its own, in the current directory."""

    def __init__(self, *options, command=()):
        words = [sys.executable, "-m", "qemu_mainloop", "run", str(EXAMPLE), *options]
        self.process = subprocess.Popen(
            [*words, "--", *command] if command else words,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.log = Stream(self.process.stderr)
        self.clients = []

    def listening(self):
        """Waits until clients are welcome."""
        where = self.log.expect(rb"listening on \S+\n").split()[-1].decode()
        kind, _, rest = where.partition(":")
        host, _, port = rest.rpartition(":")
        self.address = rest if kind == "unix" else (host, int(port))
        return self

    def client(self):
        client = Client(self.address)
        self.clients.append(client)
        return client

    def wait(self):
        return self.process.wait(DEADLINE_S)

    def end(self):
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stderr.close()


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts servers in a directory of their own, and sees them ended."""
    monkeypatch.chdir(tmp_path)  # short socket names: a path longer than 100 bytes is refused
    servers = []

    def start(*options, command=()):
        servers.append(Server(*options, command=command))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


@pytest.fixture
def run_client():
    """Starts client programs that talk through pipes, and sees them ended."""
    programs = []

    def run_client(*words):
        program = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        programs.append(program)
        return program, Stream(program.stdout)

    yield run_client
    for program in programs:
        if program.poll() is None:
            program.kill()
        program.stdin.close()
        program.wait()
        program.stdout.close()


def python(code):
    return [sys.executable, "-c", code]


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# -- clients -------------------------------------------------------------------------------------


def test_raw_socket_evaluates(start):
    client = start().listening().client()
    client.expect(PROMPT)
    client.evaluates("1+1", "2")


@pytest.mark.skipif(not nc_speaks_unix(), reason="there is no nc that knows -U")
def test_nc_evaluates(start, run_client):
    server = start().listening()
    nc, output = run_client("nc", "-U", server.address)
    output.expect(PROMPT)
    nc.stdin.write(b"1+1\n")
    output.expect(rb"\r\n2\r\n")


@needs("socat")
def test_socat_evaluates(start, run_client):
    server = start().listening()
    socat, output = run_client("socat", "-", f"UNIX-CONNECT:{server.address}")
    output.expect(PROMPT)
    socat.stdin.write(b"1+1\n")
    output.expect(rb"\r\n2\r\n")


@needs("nc")
def test_nc_evaluates_over_tcp(start, run_client):
    server = start("--listen", "tcp:127.0.0.1:0").listening()
    nc, output = run_client("nc", server.address[0], str(server.address[1]))
    output.expect(PROMPT)
    nc.stdin.write(b"1+1\n")
    output.expect(rb"\r\n2\r\n")


@needs("socat")
def test_one_who_has_said_all_gets_the_answer(start):
    """`echo … | socat`: the sending side is closed before the answer is there."""
    server = start().listening()
    told = subprocess.run(
        ["socat", "-t", str(DEADLINE_S), "-", f"UNIX-CONNECT:{server.address}"],
        input=b"6*7\n", capture_output=True, timeout=DEADLINE_S, check=True)
    assert b"\r\n42\r\n" in told.stdout


def test_interrupt_key_reaches_the_command(start):
    """Not of an interactive Python: caught on its way to wait, it notices after the next line."""
    wait_for_it = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready")
print("got", signal.sigwait([signal.SIGINT]).name)
input()
"""
    client = start(command=python(wait_for_it)).listening().client()
    client.expect(rb"ready")
    client.type(b"\x03")
    client.expect(rb"got SIGINT")


def test_two_clients_see_the_same(start):
    server = start().listening()
    one, other = server.client(), server.client()
    one.expect(PROMPT)
    other.expect(PROMPT)
    one.type(b"6*7\n")
    assert one.expect(rb"42\r\n>>> ") == other.expect(rb"42\r\n>>> ")
    other.type(b"7*8\n")
    assert one.expect(rb"56\r\n>>> ") == other.expect(rb"56\r\n>>> ")


def test_newcomer_gets_the_scrollback(start):
    server = start().listening()
    first = server.client()
    first.expect(PROMPT)
    first.evaluates("'se' + 'en before'", "'seen before'")
    first.expect(PROMPT)
    server.client().expect(rb"\r\n'seen before'\r\n>>> ")


def test_scrollback_is_bounded(start):
    server = start("--scrollback", "10", command=python("print('x' * 50 + 'newest'); input()"))
    server.listening()
    first = server.client()
    first.expect(rb"newest\r\n")
    newcomer = server.client()
    assert newcomer.expect(rb"newest\r\n") == b"xxnewest\r\n"


def test_without_scrollback_a_newcomer_gets_the_news_only(start):
    server = start("--scrollback", "0").listening()
    first = server.client()
    server.log.expect(rb"client 1 joined")
    first.evaluates("1+1", "2")
    first.expect(PROMPT)
    newcomer = server.client()
    server.log.expect(rb"client 2 joined")
    assert b"2" not in newcomer.evaluates("3*3", "9")


# -- bounds --------------------------------------------------------------------------------------


def test_surplus_client_is_served_after_another_has_left(start):
    server = start("--max-clients", "1").listening()
    first = server.client()
    first.expect(PROMPT)
    surplus = server.client()
    surplus.type(b"6*7\n")
    first.evaluates("1+1", "2")  # the loop has gone round with the surplus one at the door
    assert not surplus.has_arrived()
    first.close()
    assert b"\r\n2\r\n" in surplus.expect(rb"\r\n42\r\n")


def test_slow_client_does_not_hold_up_a_fast_one(start):
    flood = """
input()
for n in range(60000):
    print(f"{n:06d}", "x" * 100)
print("the " + "end")
input()
"""
    server = start(command=python(flood)).listening()
    slow, fast = server.client(), server.client()
    server.log.expect(rb"client 1 joined")
    server.log.expect(rb"client 2 joined")
    fast.type(b"\n")
    fast.expect(rb"the end\r\n")
    assert slow.received == 0
    # Read at last, it has lost the middle, was told so, and has the newest.
    seen = slow.expect(rb"output skipped") + slow.expect(rb"the end\r\n")
    assert seen.startswith(b"\r\n000000 ")
    assert slow.received < 60000 * 109
    fast.type(b"\n")
    assert server.wait() == 0


def test_client_that_never_reads_does_not_keep_the_server_from_ending(start):
    flood = "print('x' * 2_000_000)\nprint('the ' + 'end')\ninput()"
    server = start(command=python(flood)).listening()
    slow, fast = server.client(), server.client()
    fast.expect(rb"the end\r\n")
    fast.type(b"\n")
    fast.expect(rb"the command exited with status 0")
    assert server.wait() == 0
    slow.close()


@linux_only
def test_input_waits_for_a_command_that_does_not_read(start):
    """The sender is held up, nobody else is, and no line is lost."""
    count_lines = """
import os, signal, sys, termios
flags = termios.tcgetattr(0)
flags[3] &= ~termios.ECHO
termios.tcsetattr(0, termios.TCSANOW, flags)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("pid", os.getpid())
signal.sigwait([signal.SIGUSR1])
count = 0
while sys.stdin.readline() != "end\\n":
    count += 1
print("counted", count)
input()
"""
    server = start(command=python(count_lines)).listening()
    sender = server.client()
    pid = int(sender.expect(rb"pid \d+\r\n").split()[-1])
    lines, sent = b"a line of input\n" * 131072, 0
    sender.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while sent < len(lines):
            sent += sender.socket.send(lines[sent : sent + 65536])
    assert sent < len(lines)
    server.client().expect(rb"pid \d+\r\n")
    os.kill(pid, signal.SIGUSR1)
    sender.socket.settimeout(DEADLINE_S)
    sender.type(lines[sent:] + b"end\n")
    sender.expect(rb"counted 131072\r\n")


def test_idle_client_is_dropped_and_a_typing_one_is_not(start):
    server = start("--idle-timeout", "0.5").listening()
    idle, typing = server.client(), server.client()
    deadline = time.monotonic() + DEADLINE_S
    while b"idle" not in server.log.data:
        assert time.monotonic() < deadline
        typing.evaluates("1+1", "2")
        if server.log.has_arrived():
            server.log.data += server.log._read(deadline)
    assert b"nothing typed for 0.5 s" in idle.expect_end()
    server.log.expect(rb"client 1 dropped: idle")
    typing.evaluates("6*7", "42")


@linux_only
def test_running_out_of_descriptors_is_survived(start):
    resource = pytest.importorskip("resource")
    server = start().listening()
    pid = server.process.pid
    first = server.client()
    first.expect(PROMPT)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    lowest_free = min(set(range(len(used) + 1)) - used)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    newcomer = server.client()
    server.log.expect(rb"cannot accept: Too many open files")
    first.evaluates("1+1", "2")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    newcomer.evaluates("6*7", "42")


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last_words", "told", "status"),
    [
        ("exit 3", rb"the command exited with status 3", 3),
        ("kill -9 $$", rb"the command was killed by signal 9", 128 + 9),
    ],
)
def test_status_of_the_command_is_reported_and_becomes_ours(start, last_words, told, status):
    command = ["sh", "-c", f"read line; echo last words; {last_words}"]
    server = start(command=command).listening()
    one, other = server.client(), server.client()
    server.log.expect(rb"client 2 joined")
    one.type(b"\n")
    for client in one, other:
        client.expect(rb"last words\r\n")
        client.expect(told)
        client.expect_end()
    assert server.wait() == status
    server.log.expect(told)
    assert not os.path.exists(server.address)


def test_arguments_of_the_command_are_its_own(start):
    """Options, and another --, behind the first -- are not the server's."""
    command = python("import sys; print(sys.argv[1:]); input()") + ["--listen", "--", "-x"]
    client = start(command=command).listening().client()
    client.expect(rb"\['--listen', '--', '-x'\]")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_everything(start, number):
    server = start().listening()
    client = server.client()
    client.expect(PROMPT)
    client.type(b"import os; print('pid', os.getpid())\n")
    pid = int(client.expect(rb"\r\npid \d+\r\n").split()[-1])
    server.process.send_signal(number)
    assert b"the server ends" in client.expect_end()
    assert server.wait() == 0
    assert not os.path.exists(server.address)
    assert is_gone(pid)
    assert b"Traceback" not in server.log.expect_end()


def test_command_that_will_not_go_is_killed(start):
    stubborn = """
import os, signal
for number in signal.SIGHUP, signal.SIGTERM:
    signal.signal(number, lambda number, frame: print("not yet", number))
print("pid", os.getpid())
while True:
    signal.pause()
"""
    server = start(command=python(stubborn)).listening()
    client = server.client()
    pid = int(client.expect(rb"pid \d+\r\n").split()[-1])
    server.process.terminate()
    said = client.expect_end()
    assert re.search(rb"not yet 1\b.*not yet 15\b.*killed by signal 9", said, re.DOTALL)
    assert server.wait() == 0
    assert is_gone(pid)


@linux_only
def test_children_of_the_command_go_with_it(start):
    command = ["sh", "-c", "echo pid $$; sleep 1000; echo not reached"]
    server = start(command=command).listening()
    pid = int(server.client().expect(rb"pid \d+\r\n").split()[-1])
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + DEADLINE_S
    while not (child := children.read_text()):
        assert time.monotonic() < deadline
    child_pidfd = os.pidfd_open(int(child))
    try:
        server.process.terminate()
        assert server.wait() == 0
        assert is_gone(pid)
        assert select.select([child_pidfd], [], [], DEADLINE_S)[0]
    finally:
        os.close(child_pidfd)


def test_goodbye_of_the_command_is_heard(start):
    """More than a terminal holds, said after the hang-up: somebody must still be reading."""
    polite = """
import signal, sys
def goodbye(number, frame):
    print("y" * 300_000)
    sys.exit(0)
signal.signal(signal.SIGHUP, goodbye)
print("ready")
while True:
    signal.pause()
"""
    server = start(command=python(polite)).listening()
    client = server.client()
    client.expect(rb"ready")
    server.process.terminate()
    said = client.expect_end()
    assert b"y" * 1000 in said or b"skipped" in said
    assert b"the command exited with status 0" in said
    assert server.wait() == 0


@linux_only
def test_command_starts_with_a_clean_slate(start):
    """It inherits no descriptor of ours, no blocked signal, no ignored SIGPIPE."""
    command = ["sh", "-c", "read line; grep Sig /proc/self/status; ls -1 /proc/self/fd; echo done"]
    server = start(command=command).listening()
    client = server.client()
    client.type(b"\n")
    said = client.expect(rb"done\r\n").decode()
    blocked, ignored = (int(re.search(rf"Sig{name}:\s*(\w+)", said)[1], 16)
                        for name in ("Blk", "Ign"))
    inherited = Path("/proc/self/status").read_text()
    assert blocked == int(re.search(r"SigBlk:\s*(\w+)", inherited)[1], 16)
    assert not ignored & 1 << signal.SIGPIPE - 1
    # ls opens the directory as 3
    assert re.findall(r"^(\d+)\r$", said, re.MULTILINE) == ["0", "1", "2", "3"]


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["unix:console.sock", "tcp:127.0.0.1:0"])
def test_busy_address_is_named(start, listen):
    server = start("--listen", listen).listening()
    busy = listen if listen.startswith("unix") else "tcp:{}:{}".format(*server.address)
    second = start("--listen", busy)
    assert second.wait() == 1
    assert f"cannot listen on {busy}: Address already in use".encode() in second.log.expect_end()
    server.client().evaluates("1+1", "2")


def test_socket_file_of_a_killed_server_is_taken_over(start):
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind("console.sock")
        killed.listen()
    assert os.path.exists("console.sock")
    start().listening().client().evaluates("1+1", "2")


def test_file_that_is_no_socket_is_left_alone(start):
    Path("console.sock").write_text("precious")
    server = start()
    assert server.wait() == 1
    assert b"cannot listen on unix:console.sock" in server.log.expect_end()
    assert Path("console.sock").read_text() == "precious"


def test_socket_file_of_another_is_left_alone(start):
    server = start().listening()
    os.unlink("console.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("console.sock")
        server.process.terminate()
        assert server.wait() == 0
        assert os.path.exists("console.sock")


def test_socket_file_is_for_its_owner_only(start):
    server = start().listening()
    assert os.stat(server.address).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("listen", ["", "unix:", "tcp:7000", "tcp:localhost:x", "pipe:x"])
def test_bad_address_is_refused(start, listen):
    server = start("--listen", listen)
    assert server.wait() == 2
    assert b"neither unix:PATH nor tcp:HOST:PORT" in server.log.expect_end()


def test_unknown_command_is_refused_before_anything_starts(start):
    server = start(command=["there-is-no-such-command"])
    assert server.wait() == 127
    assert b"cannot run there-is-no-such-command" in server.log.expect_end()
    assert not os.path.exists("console.sock")


# -- QEMU ----------------------------------------------------------------------------------------


@needs("qemu-system-x86_64")
def test_qemu_monitor_answers(start):
    command = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none",
               "-monitor", "stdio"]
    server = start(command=command).listening()
    one, other = server.client(), server.client()
    for client in one, other:
        client.expect(rb"\(qemu\) ")
    one.type(b"info version\n")
    for client in one, other:
        client.expect(rb"\r\n\d+\.\d+\.\d+.*\r\n")
    other.type(b"quit\n")
    for client in one, other:
        client.expect(rb"the command exited with status 0")
    assert server.wait() == 0
