"""docs/examples/console_server.py behind pipes, started as its reader would, with real clients."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "console_server.py"
DEADLINE_S = 30.0

pytestmark = [
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLE.exists(), reason="docs/ is not beside these tests"),
]

ECHO = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
    if line == "end\\n":
        print("last words")
        sys.exit(3)
"""

# Runs the server, and sends it a Ctrl-C when our input ends: wine has no console to type it in.
INTERRUPTED = """
import signal, sys, threading
from qemu_mainloop.__main__ import main
def interrupt():
    sys.stdin.read()
    signal.raise_signal(signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
sys.exit(main())
"""


# Gone while there is more to come: its child speaks when the pipe between the two breaks.
LEAVES_ONE = """
import os, subprocess, sys
input()
subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read(); print('the end', end='')"],
                 stdin=subprocess.PIPE)
sys.stdout.write("x" * 400_000)
sys.stdout.flush()
os._exit(0)
"""

# Runs the server, which waits for last words as long as a busy machine may need.
PATIENT = f"""
import sys
sys.path.insert(0, {str(EXAMPLE.parent)!r})
import console_server
console_server.FLUSH_S = {DEADLINE_S}
from qemu_mainloop.__main__ import main
sys.exit(main(["run", "console_server:main", *sys.argv[3:]]))
"""


class Client:
    """A socket at the console."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self.data = b""

    def type(self, text):
        self.socket.sendall(text)

    def expect(self, pattern):
        """Everything up to the first match of the pattern."""
        while not (match := re.search(pattern, self.data)):
            data = self.socket.recv(65536)
            assert data, f"ended before {pattern!r}: {self.data[-500:]!r}"
            self.data += data
        until, self.data = self.data[: match.end()], self.data[match.end() :]
        return until

    def expect_end(self):
        while data := self.socket.recv(65536):
            self.data += data
        return self.data


class Server:
    """The example in a process of its own."""

    def __init__(self, *options, command=(), python=("-m", "qemu_mainloop")):
        words = [sys.executable, *python, "run", str(EXAMPLE), *options]
        self.process = subprocess.Popen([*words, "--", *command] if command else words,
                                        stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        self.clients = []

    def expect(self, pattern):
        """The next line of the log."""
        line = self.process.stderr.readline()
        match = re.search(pattern, line)
        assert match, line
        return match

    def client(self):
        self.clients.append(Client(self.port))
        self.expect(rb"client \d+ joined")
        return self.clients[-1]

    def wait(self):
        return self.process.wait(DEADLINE_S)

    def end(self):
        for client in self.clients:
            client.socket.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start():
    """Starts servers, and sees them ended."""
    servers = []

    def start(command=(), **how):
        server = Server("--listen", "tcp:127.0.0.1:0", command=command, **how)
        servers.append(server)
        server.port = int(server.expect(rb"listening on tcp:127.0.0.1:(\d+)")[1])
        return server

    yield start
    for server in servers:
        server.end()


def python(code):
    return [sys.executable, "-c", code]


def test_two_clients_share_a_command_until_it_ends(start):
    server = start(python(ECHO))
    one = server.client()
    one.expect(rb"ready\r\n")
    one.type(b"one\n")
    one.expect(rb"heard one\r\n")
    other = server.client()                          # gets what has been said
    assert other.expect(rb"heard one\r\n") == b"ready\r\nheard one\r\n"
    other.type(b"two\n")
    assert one.expect(rb"two\r\n") == other.expect(rb"two\r\n") == b"heard two\r\n"
    one.type(b"end\n")
    for client in one, other:
        assert client.expect_end() == (
            b"heard end\r\nlast words\r\n\r\n[console: the command exited with status 3]\r\n")
    server.expect(rb"the command exited with status 3")
    assert server.wait() == 3


def test_last_words_come_before_the_end(start):
    """Also those of a process that the command leaves behind."""
    server = start(python(LEAVES_ONE), python=("-c", PATIENT))
    client = server.client()
    client.type(b"\n")
    assert client.expect_end() == (
        b"x" * 400_000 + b"the end\r\n[console: the command exited with status 0]\r\n")
    assert server.wait() == 0


def test_much_that_is_typed_arrives_whole(start):
    code = "import sys; print(len(sys.stdin.readline()), flush=True); sys.stdin.read()"
    client = start(python(code)).client()
    client.type(b"y" * 1_000_000 + b"\n")
    client.expect(rb"\b1000001\r\n")


def test_interrupt_ends_the_server_and_the_command(start):
    """The default command: an interactive Python."""
    server = start(python=("-c", INTERRUPTED))
    client = server.client()
    client.expect(rb">>> ")
    client.type(b"6*7\n")
    client.expect(rb"42\r\n")
    server.process.stdin.close()
    assert re.search(rb"the server ends.*the command exited with status \d+", client.expect_end(),
                     re.DOTALL)
    assert server.wait() == 0
    assert b"Traceback" not in server.process.stderr.read()


@pytest.mark.parametrize("options", [(), ("--listen", "unix:console.sock")])
def test_unix_sockets_are_refused(options):
    server = Server(*options)
    assert b"no UNIX sockets here, listen on tcp:HOST:PORT" in server.process.communicate()[1]
    assert server.wait() == 2
