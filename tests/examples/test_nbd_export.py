"""docs/examples/nbd-export, built as a user builds it and driven by real NBD clients."""

import fcntl
import functools
import os
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform != "linux", reason="the example is for Linux"),
]

PROJECT = Path(__file__).parents[2] / "docs" / "examples" / "nbd-export"
KIB, MIB = 1 << 10, 1 << 20
DISK_BYTES = 8 * MIB
TIMEOUT_S = 30

READ, WRITE, DISC, FLUSH, TRIM, WRITE_ZEROES = 0, 1, 2, 3, 4, 6
FUA, NO_HOLE = 1, 2
EPERM, EINVAL, ENOSPC = 1, 22, 28
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_INFO, OPT_GO, OPT_STRUCTURED_REPLY = 1, 2, 3, 6, 7, 8
REP_ACK, REP_SERVER, REP_INFO = 1, 2, 3
ERR_UNSUP, ERR_INVALID, ERR_UNKNOWN, ERR_TOO_BIG = (
    1 << 31 | number for number in (1, 3, 6, 9))
INFO_EXPORT, INFO_NAME, INFO_BLOCK_SIZE = 0, 1, 3
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
WRITABLE_FLAGS = 0b1_0110_1101      # HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, MULTI_CONN
READ_ONLY_FLAGS = 0b1_0000_0011     # HAS_FLAGS, READ_ONLY, MULTI_CONN


@functools.cache
def pattern(length, seed=0):
    """Bytes of which no piece looks like its neighbour."""
    words = range(seed << 20, (seed << 20) + length // 4 + 1)
    return struct.pack(f"<{len(words)}I", *words)[:length]


class Server:
    """A running ``python -m nbd_export`` on a free TCP port and on a UNIX socket."""

    def __init__(self, environment, directory, *arguments):
        self.path = str(directory / "socket")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nbd_export", *map(str, arguments),
             "--listen", "127.0.0.1:0", "--unix", self.path],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = [self.process.stdout.readline() for _ in range(2)]
        if not all(lines):
            raise AssertionError(f"the server did not start: {self.process.communicate()}")
        self.uris = [line.rpartition(": ")[2].rstrip("\n") for line in lines]
        self.tcp_uri, self.unix_uri = self.uris
        self.port = int(re.search(r":(\d+)", self.tcp_uri)[1])
        self.idle_descriptor_count = self.descriptor_count()

    def stop(self, number=signal.SIGTERM):
        """Ends the server and checks that it goes without a word."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=TIMEOUT_S)
        assert (self.process.returncode, output, errors) == (0, "", "")

    def resident_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * KIB

    def descriptor_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Client:
    """An NBD client that says exactly what it is told to say."""

    def __init__(self, server, *, tcp=False):
        if tcp:
            self.socket = socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(TIMEOUT_S)
            self.socket.connect(server.path)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_garbage(self, data):
        """Sends as much as the server waits for before it closes."""
        try:
            self.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self, length):
        received = bytearray(length)
        view = memoryview(received)
        while view:
            got = self.socket.recv_into(view)
            assert got, f"the server has closed with {len(view)} bytes still due"
            view = view[got:]
        return bytes(received)

    def waiting_bytes(self):
        """How much has arrived and is yet to be received."""
        return struct.unpack("i", fcntl.ioctl(self.socket, termios.FIONREAD, bytes(4)))[0]

    def unpack(self, layout):
        return struct.unpack(layout, self.receive(struct.calcsize(layout)))

    def assert_ended(self):
        try:
            assert self.socket.recv(1) == b""
        except ConnectionResetError:
            pass

    def vanish(self):
        """Ends the connection with a reset, as a crashing host does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def greet(self, flags=FIXED_NEWSTYLE | NO_ZEROES):
        assert self.unpack(">8s8sH") == (b"NBDMAGIC", b"IHAVEOPT", FIXED_NEWSTYLE | NO_ZEROES)
        self.send(struct.pack(">I", flags))
        return self

    def send_option(self, option, data=b"", *, length=None):
        self.send(struct.pack(
            ">8sII", b"IHAVEOPT", option, len(data) if length is None else length) + data)

    def option_replies(self, option):
        """The replies up to the final one, as pairs of kind and data."""
        replies = []
        while not replies or replies[-1][0] in (REP_SERVER, REP_INFO):
            magic, answered, kind, length = self.unpack(">QIII")
            assert (magic, answered) == (0x3E889045565A9, option)
            replies.append((kind, self.receive(length)))
        return replies

    def option(self, option, data=b""):
        self.send_option(option, data)
        return self.option_replies(option)

    def go(self, name=b"", option=OPT_GO, wanted=()):
        data = struct.pack(f">I{len(name)}sH{len(wanted)}H", len(name), name, len(wanted), *wanted)
        return self.option(option, data)

    def start(self):
        """Goes through the handshake."""
        assert self.greet().go()[-1][0] == REP_ACK
        return self

    def send_request(self, command, offset=0, length=0, *, flags=0, cookie=1, payload=b""):
        self.send(request_bytes(command, offset, length, flags=flags, cookie=cookie) + payload)

    def reply(self, length=0):
        """Error, cookie, and data if there is no error."""
        magic, error, cookie = self.unpack(">IIQ")
        assert magic == 0x67446698
        return error, cookie, b"" if error else self.receive(length)

    def request(self, command, offset=0, length=0, *, flags=0, payload=b"", cookie=1):
        self.send_request(command, offset, length, flags=flags, payload=payload, cookie=cookie)
        error, answered, data = self.reply(length if command == READ else 0)
        assert answered == cookie
        return error, data

    def read(self, offset, length):
        error, data = self.request(READ, offset, length)
        assert error == 0
        return data

    def write(self, offset, data, flags=0):
        assert self.request(WRITE, offset, len(data), payload=data, flags=flags) == (0, b"")


def request_bytes(command, offset=0, length=0, *, flags=0, cookie=1):
    return struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length)


@pytest.fixture(scope="session")
def project_environment(tmp_path_factory):
    """Builds and installs the example; the environment in which Python finds it."""
    # A copy, so that nothing is ever built in the source tree.
    source = tmp_path_factory.mktemp("nbd-export") / "project"
    target = source.parent / "installed"
    shutil.copytree(PROJECT, source)
    # What is imported is what is installed, also when the tests run in the source tree.
    environment = os.environ | {
        "PYTHONSAFEPATH": "1",
        "PATH": os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", ""))),
    }
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-build-isolation", "--no-deps", "--no-index", "--target", target, source],
        env=environment, check=True)
    paths = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
    return environment | {"PYTHONPATH": os.pathsep.join(paths)}


class Servers:
    """Starts servers, and in the end kills those that are still there."""

    def __init__(self, environment, tmp_path_factory):
        self.environment = environment
        self.tmp_path_factory = tmp_path_factory
        self.started = []

    def start(self, *arguments):
        directory = self.tmp_path_factory.mktemp("s")
        self.started.append(Server(self.environment, directory, *arguments))
        return self.started[-1]

    def kill(self):
        for server in self.started:
            if server.process.returncode is None:
                assert server.process.poll() is None, "the server has crashed"
                server.process.kill()
                assert server.process.communicate()[1] == ""


@pytest.fixture
def serve(project_environment, tmp_path_factory):
    """A function that starts a server for this test alone."""
    servers = Servers(project_environment, tmp_path_factory)
    yield servers.start
    servers.kill()


@pytest.fixture(scope="session")
def shared_servers(project_environment, tmp_path_factory):
    """A RAM disk and a file, which most tests share, as clients of one server do."""
    servers = Servers(project_environment, tmp_path_factory)
    path = tmp_path_factory.mktemp("disk") / "disk.img"
    path.write_bytes(bytes(DISK_BYTES))
    yield {"memory": servers.start("--size", DISK_BYTES), "file": servers.start(path)}
    servers.kill()


def erased(server):
    with Client(server) as client:
        assert client.start().request(WRITE_ZEROES, 0, DISK_BYTES) == (0, b"")
    return server


@pytest.fixture(params=["memory", "file"])
def server(request, shared_servers):
    """One of 8 MiB, all zeroes."""
    return erased(shared_servers[request.param])


@pytest.fixture
def memory_server(shared_servers):
    return erased(shared_servers["memory"])


@pytest.fixture
def disk_file(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(DISK_BYTES))
    return path


def run(program, *arguments, **options):
    """Runs a client program of the system and returns what it prints."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True,
        timeout=2 * TIMEOUT_S, **options)
    assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
    return done.stdout


class TestPrograms:
    def test_qemu_img_copies_an_image_in_and_out(self, server, tmp_path):
        image, copy = tmp_path / "image", tmp_path / "copy"
        image.write_bytes(pattern(DISK_BYTES))
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, server.unix_uri)
        run("qemu-img", "convert", "-f", "raw", "-O", "raw", server.tcp_uri, copy)
        assert copy.read_bytes() == image.read_bytes()

    def test_qemu_img_compares_what_it_has_converted(self, server, tmp_path):
        image = tmp_path / "image"
        image.write_bytes(pattern(3 * MIB) + bytes(2 * MIB) + pattern(3 * MIB, seed=1))
        run("qemu-img", "convert", "-n", "-S", "4k", "-f", "raw", "-O", "raw",
            image, server.tcp_uri)
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, server.unix_uri)

    def test_qemu_io_finds_the_patterns_it_wrote(self, server):
        commands = (
            "write -P 0xab 0 1M", "write -P 0xcd 12345 54321", "write -f -P 0x12 4M 64k",
            "write -z -u 2M 1M", "write -z 5M 100k", "discard 6M 1M", "flush",
            "read -P 0xab 0 12345", "read -P 0xcd 12345 54321", "read -P 0x12 4M 64k",
            "read -P 0 2M 1M", "read -P 0 5M 100k",
            "aio_write -P 0x77 7M 512k", "aio_write -P 0x78 7680k 512k", "aio_flush",
            "read -P 0x77 7M 512k", "read -P 0x78 7680k 512k",
        )
        output = run("qemu-io", "-f", "raw",
                     *(word for command in commands for word in ("-c", command)), server.unix_uri)
        assert "failed" not in output

    def test_nbdinfo_reads_size_and_flags(self, serve):
        server = serve("--size", "64M", "--name", "a disk")
        output = run("nbdinfo", server.unix_uri)
        for line in ("export-size: 67108864 (64M)", "is_read_only: false", "can_flush: true",
                     "can_fua: true", "can_multi_conn: true", "can_trim: true", "can_zero: true",
                     "block_size_maximum: 33554432"):
            assert line in output
        assert "newstyle-fixed" in output

    def test_nbdinfo_lists_the_export(self, serve):
        server = serve("--size", "1M", "--name", "listed")
        uri = server.tcp_uri.removesuffix("/listed")
        assert 'export="listed":' in run("nbdinfo", "--list", uri)

    def test_nbdcopy_copies_over_several_connections(self, server, tmp_path):
        image, copy = tmp_path / "image", tmp_path / "copy"
        image.write_bytes(pattern(DISK_BYTES, seed=2))
        run("nbdcopy", "--connections=4", "--flush", image, server.unix_uri)
        run("nbdcopy", "--connections=4", server.tcp_uri, copy)
        assert copy.read_bytes() == image.read_bytes()

    @pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
    def test_qemu_img_bench_finishes(self, server, write):
        run("qemu-img", "bench", "-c", 20000, "-d", 64, "-s", 4096, "-f", "raw",
            *(("-w", "--flush-interval", 500) if write else ()), server.unix_uri)

    def test_fio_verifies_what_it_has_written(self, server, tmp_path):
        if "nbd" not in run("fio", "--enghelp").split():
            pytest.skip("this fio has no nbd engine")
        run("fio", "--name=job", "--ioengine=nbd", f"--uri={server.unix_uri}", "--rw=randwrite",
            "--bsrange=512-128k", "--size=8m", "--iodepth=32", "--verify=crc32c",
            "--do_verify=1", cwd=tmp_path)


class TestHandshake:
    def test_go_tells_size_and_flags_and_no_more(self, server):
        with Client(server) as client:
            replies = client.greet().go()
        assert replies == [
            (REP_INFO, struct.pack(">HQH", INFO_EXPORT, DISK_BYTES, WRITABLE_FLAGS)),
            (REP_ACK, b"")]

    def test_go_tells_what_is_asked_for(self, serve):
        server = serve("--size", DISK_BYTES, "--name", "näme")
        name = "näme".encode()
        with Client(server, tcp=True) as client:
            replies = client.greet().go(wanted=(INFO_NAME, INFO_BLOCK_SIZE, 2, 77))
        assert replies == [
            (REP_INFO, struct.pack(">H", INFO_NAME) + name),
            (REP_INFO, struct.pack(">HIII", INFO_BLOCK_SIZE, 1, 4096, 32 * MIB)),
            (REP_INFO, struct.pack(">HQH", INFO_EXPORT, DISK_BYTES, WRITABLE_FLAGS)),
            (REP_ACK, b"")]

    def test_info_leaves_the_client_in_the_handshake(self, memory_server):
        with Client(memory_server) as client:
            assert client.greet().go(option=OPT_INFO)[-1] == (REP_ACK, b"")
            assert client.go()[-1] == (REP_ACK, b"")
            assert client.read(0, 512) == bytes(512)

    def test_a_wrong_name_is_an_error_that_can_be_put_right(self, serve):
        server = serve("--size", DISK_BYTES, "--name", "right")
        with Client(server) as client:
            assert client.greet().go(b"wrong") == [(ERR_UNKNOWN, b"")]
            assert client.go(b"righ") == [(ERR_UNKNOWN, b"")]
            assert client.go(b"right")[-1] == (REP_ACK, b"")
            assert client.read(0, 1) == b"\0"

    def test_list_names_the_export(self, serve):
        server = serve("--size", DISK_BYTES, "--name", "listed")
        with Client(server) as client:
            assert client.greet().option(OPT_LIST) == [
                (REP_SERVER, b"\0\0\0\6listed"), (REP_ACK, b"")]
            assert client.option(OPT_LIST, b"x") == [(ERR_INVALID, b"")]

    def test_abort_is_acknowledged(self, memory_server):
        with Client(memory_server) as client:
            assert client.greet().option(OPT_ABORT) == [(REP_ACK, b"")]
            client.assert_ended()

    def test_unknown_options_are_refused_and_skipped(self, memory_server):
        with Client(memory_server) as client:
            client.greet()
            for option in (OPT_STRUCTURED_REPLY, 5, 10, 0, 4321, 2**32 - 1):
                assert client.option(option, b"some data") == [(ERR_UNSUP, b"")]
            assert client.go()[-1][0] == REP_ACK

    @pytest.mark.parametrize("data", [
        b"", b"\0\0\0\0\0", b"\0\0\0\1\0\0", b"\0\0\0\0\0\1", b"\0\0\0\0\0\0\0",
        b"\xff\xff\xff\xff\0\0", b"\xff\xff\xff\xfa\0\0\0\0\0\0",
    ], ids=lambda data: data.hex() or "empty")
    def test_malformed_go_is_invalid(self, memory_server, data):
        with Client(memory_server) as client:
            assert client.greet().option(OPT_GO, data) == [(ERR_INVALID, b"")]
            assert client.go()[-1][0] == REP_ACK

    def test_an_option_of_any_length_is_skipped(self, memory_server):
        before = memory_server.resident_bytes()
        with Client(memory_server) as client:
            client.greet()
            for option, length in ((OPT_GO, 8193), (OPT_LIST, 65536), (99, 64 * MIB)):
                assert client.option(option, bytes(length)) == [(ERR_TOO_BIG, b"")]
            assert memory_server.resident_bytes() - before < 4 * MIB
            assert client.go()[-1][0] == REP_ACK

    @pytest.mark.parametrize("flags", [FIXED_NEWSTYLE, FIXED_NEWSTYLE | NO_ZEROES, 0, NO_ZEROES])
    def test_export_name_with_and_without_zeroes(self, memory_server, flags):
        with Client(memory_server) as client:
            client.greet(flags).send_option(OPT_EXPORT_NAME)
            assert client.unpack(">QH") == (DISK_BYTES, WRITABLE_FLAGS)
            if not flags & NO_ZEROES:
                assert client.receive(124) == bytes(124)
            assert client.read(0, 512) == bytes(512)

    def test_export_name_cannot_fail_politely(self, memory_server):
        for name, length in ((b"wrong", None), (b"", 9000)):
            with Client(memory_server) as client:
                client.greet().send_option(OPT_EXPORT_NAME, name, length=length)
                client.assert_ended()

    def test_a_client_of_the_first_newstyle_has_one_option(self, memory_server):
        with Client(memory_server) as client:
            client.greet(0).send_option(OPT_LIST)
            client.assert_ended()

    @pytest.mark.parametrize("flags", [4, 1 << 31, 0xFFFFFFFF])
    def test_unknown_client_flags_end_the_connection(self, memory_server, flags):
        with Client(memory_server) as client:
            client.greet(flags).assert_ended()

    def test_every_byte_may_come_by_itself(self, memory_server):
        handshake = (struct.pack(">I", 3) + struct.pack(">8sII", b"IHAVEOPT", OPT_LIST, 0)
                     + struct.pack(">8sIIIH", b"IHAVEOPT", OPT_GO, 6, 0, 0))
        conversation = (handshake + request_bytes(WRITE, 100, 5) + b"hello"
                        + request_bytes(READ, 99, 7, cookie=2))
        with Client(memory_server, tcp=True) as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(len(conversation)):
                client.send(conversation[i:i + 1])
            client.receive(18)
            assert client.option_replies(OPT_LIST)[-1][0] == REP_ACK
            assert client.option_replies(OPT_GO)[-1][0] == REP_ACK
            assert client.reply() == (0, 1, b"")
            assert client.reply(7) == (0, 2, b"\0hello\0")

    def test_dawdling_over_the_handshake_ends_it(self, serve):
        server = serve("--size", DISK_BYTES, "--handshake-timeout", "0.15")
        with Client(server) as quick, Client(server) as slow, Client(server) as mute:
            quick.start()
            slow.greet().option(OPT_LIST)
            slow.assert_ended()
            mute.receive(18)
            mute.assert_ended()
            # The time is for the handshake alone.
            assert quick.read(0, 1) == b"\0"


class TestRequests:
    def test_written_data_is_read_back(self, server):
        data = pattern(3 * MIB)
        with Client(server) as client:
            client.start()
            client.write(4097, data)
            assert client.read(4097, len(data)) == data
            assert client.read(4000, 200) == bytes(97) + data[:103]
            client.write(DISK_BYTES - 1, b"z")
            assert client.read(DISK_BYTES - 2, 2) == b"\0z"

    def test_many_requests_in_flight(self, server):
        writes = {cookie: pattern(1 + 37 * cookie % 9000, seed=cookie) for cookie in range(700)}
        sent = b"".join(
            request_bytes(WRITE, 10000 * cookie, len(data), cookie=cookie) + data
            for cookie, data in writes.items())
        with Client(server) as client:
            client.start().send(sent)
            assert {client.reply()[1] for _ in writes} == set(writes)
            client.send(b"".join(
                request_bytes(READ, 10000 * cookie, len(data), cookie=cookie)
                for cookie, data in writes.items()))
            while writes:
                magic, error, cookie = client.unpack(">IIQ")
                assert (magic, error) == (0x67446698, 0)
                data = writes.pop(cookie)
                assert client.receive(len(data)) == data

    def test_long_payloads_in_flight(self, server):
        data = [pattern(MIB, seed=seed) for seed in range(8)]
        with Client(server, tcp=True) as client:
            client.start().send(b"".join(
                request_bytes(WRITE, i * MIB, MIB, cookie=i) + data[i] for i in range(8)))
            for i in range(8):
                assert client.reply() == (0, i, b"")
            assert client.read(0, 8 * MIB) == b"".join(data)

    def test_cookies_are_returned_as_they_came(self, memory_server):
        with Client(memory_server) as client:
            client.start()
            for cookie in (0, 0x0102030405060708, 2**64 - 1):
                assert client.request(READ, 0, 1, cookie=cookie) == (0, b"\0")

    def test_empty_requests_succeed(self, server):
        with Client(server) as client:
            client.start()
            for command in (READ, WRITE, TRIM, WRITE_ZEROES, FLUSH):
                assert client.request(command, 5, 0) == (0, b"")
            assert client.request(READ, DISK_BYTES, 0) == (0, b"")

    @pytest.mark.parametrize("flags", [0, FUA, NO_HOLE, NO_HOLE | FUA])
    @pytest.mark.parametrize("offset, length", [
        (4096, 8192), (1, 3 * MIB), (4095, 2), (0, 4097), (8191, 12290), (DISK_BYTES - 5000, 5000)])
    def test_zeroes_go_where_they_should_and_nowhere_else(self, server, offset, length, flags):
        data = pattern(DISK_BYTES, seed=3)
        with Client(server) as client:
            client.start().write(0, data)
            assert client.request(WRITE_ZEROES, offset, length, flags=flags) == (0, b"")
            assert client.read(0, DISK_BYTES) == (
                data[:offset] + bytes(length) + data[offset + length:])

    @pytest.mark.parametrize("offset, length", [(4096, 8192), (100, 3 * MIB), (5, 17)])
    def test_trim_leaves_the_rest_alone(self, server, offset, length):
        data = pattern(DISK_BYTES, seed=4)
        with Client(server) as client:
            client.start().write(0, data)
            assert client.request(TRIM, offset, length, flags=FUA) == (0, b"")
            after = client.read(0, DISK_BYTES)
            assert after[:offset] == data[:offset]
            assert after[offset + length:] == data[offset + length:]

    def test_trim_gives_memory_back(self, serve):
        server = serve("--size", 64 * MIB)
        with Client(server) as client:
            client.start()
            for offset in range(0, 64 * MIB, MIB):
                client.write(offset, pattern(MIB))
            full = server.resident_bytes()
            assert client.request(TRIM, 0, 64 * MIB) == (0, b"")
            assert full - server.resident_bytes() > 60 * MIB

    def test_zeroes_of_a_length_beyond_any_payload(self, serve):
        server = serve("--size", "6G")
        with Client(server) as client, Client(server) as other:
            other.start()
            client.start().write(4 * 2**30 - 10, b"x" * 20)
            client.send_request(WRITE_ZEROES, 1, 2**32 - 1)
            assert other.read(0, 4096) == bytes(4096)
            assert client.reply() == (0, 1, b"")
            assert client.read(2**32 - 10, 20) == bytes(10) + b"x" * 10

    def test_flush_and_fua_reach_every_connection(self, server):
        with Client(server) as one, Client(server, tcp=True) as two:
            one.start().write(0, b"flushed")
            assert one.request(FLUSH) == (0, b"")
            assert two.start().read(0, 7) == b"flushed"
            two.write(0, b"at once", flags=FUA)
            assert one.read(0, 7) == b"at once"

    def test_a_file_receives_what_is_written(self, serve, disk_file):
        server = serve(disk_file)
        data = pattern(MIB)
        with Client(server) as client:
            client.start().write(MIB, data, flags=FUA)
            assert disk_file.read_bytes() == bytes(MIB) + data + bytes(DISK_BYTES - 2 * MIB)

    def test_disc_answers_what_came_before(self, server):
        with Client(server) as client:
            client.start().send(
                request_bytes(READ, 0, 4 * MIB, cookie=7) + request_bytes(DISC, cookie=8))
            assert client.reply(4 * MIB) == (0, 7, bytes(4 * MIB))
            client.assert_ended()

    def test_half_closing_after_the_last_request_answers_it(self, server):
        with Client(server) as client:
            client.start().send_request(READ, 0, 4 * MIB)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.reply(4 * MIB) == (0, 1, bytes(4 * MIB))
            client.assert_ended()


class TestErrors:
    @pytest.mark.parametrize("offset, length", [
        (DISK_BYTES, 1), (DISK_BYTES - 1, 2), (2**63, 512), (2**64 - 1, 1), (2**64 - 512, 1024)])
    def test_out_of_range(self, server, offset, length):
        with Client(server) as client:
            client.start()
            assert client.request(READ, offset, length) == (EINVAL, b"")
            assert client.request(TRIM, offset, length) == (EINVAL, b"")
            assert client.request(WRITE_ZEROES, offset, length) == (ENOSPC, b"")
            # The payload is on its way whatever the answer.
            payload = b"\x25\x60\x95\x13" * 256
            assert client.request(
                WRITE, offset, length, payload=payload[:length]) == (ENOSPC, b"")
            assert client.read(0, 16) == bytes(16)

    def test_a_long_payload_that_cannot_be_written_is_skipped(self, server):
        with Client(server) as client:
            client.start().send(
                request_bytes(WRITE, 1, DISK_BYTES, cookie=1) + pattern(DISK_BYTES)
                + request_bytes(READ, 0, 16, cookie=2))
            assert client.reply() == (ENOSPC, 1, b"")
            assert client.reply(16) == (0, 2, bytes(16))

    @pytest.mark.parametrize("command", [5, 7, 8, 0xFFFF])
    def test_unknown_commands(self, memory_server, command):
        with Client(memory_server) as client:
            assert client.start().request(command, 0, 512) == (EINVAL, b"")
            assert client.read(0, 1) == b"\0"

    @pytest.mark.parametrize("command, flags", [
        (READ, 4), (READ, NO_HOLE), (WRITE, NO_HOLE), (TRIM, NO_HOLE), (WRITE_ZEROES, 16),
        (FLUSH, 0x8000)])
    def test_unknown_flags(self, memory_server, command, flags):
        payload = b"x" * 512 if command == WRITE else b""
        with Client(memory_server) as client:
            client.start()
            assert client.request(command, 0, 512, flags=flags, payload=payload) == (EINVAL, b"")
            assert client.read(0, 512) == bytes(512)

    def test_fua_is_accepted_on_every_command(self, memory_server):
        with Client(memory_server) as client:
            client.start()
            assert client.request(READ, 0, 8, flags=FUA) == (0, bytes(8))
            assert client.request(FLUSH, flags=FUA) == (0, b"")

    def test_a_read_over_the_limit_is_refused(self, serve):
        server = serve("--size", "64M")
        with Client(server) as client:
            client.start()
            assert client.request(READ, 0, 32 * MIB + 1) == (EINVAL, b"")
            assert client.read(0, 32 * MIB) == bytes(32 * MIB)

    @pytest.mark.parametrize("length", [32 * MIB + 1, 2**32 - 1])
    def test_a_payload_over_the_limit_ends_the_connection(self, serve, length):
        server = serve("--size", "64M")
        with Client(server) as client, Client(server) as other:
            other.start()
            client.start().send_request(WRITE, 0, length)
            client.assert_ended()
            assert other.read(0, 1) == b"\0"

    def test_a_payload_of_the_limit_is_taken(self, serve):
        server = serve("--size", "64M")
        data = pattern(32 * MIB)
        with Client(server) as client:
            client.start().write(32 * MIB, data)
            assert client.read(32 * MIB, 32 * MIB) == data

    @pytest.mark.parametrize("garbage", [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        bytes(4096),
        random.Random(1).randbytes(1 << 18),
        struct.pack(">I", 3) + b"IHAVEOPS" + bytes(64),
    ], ids=["http", "zeroes", "random", "option magic"])
    def test_garbage_in_the_handshake_harms_nobody_else(self, memory_server, garbage):
        with Client(memory_server) as other, Client(memory_server) as client:
            other.start()
            client.receive(18)
            client.send_garbage(garbage)
            client.assert_ended()
            assert other.read(0, 512) == bytes(512)

    @pytest.mark.parametrize("garbage", [
        b"\x25\x60\x95\x14" + bytes(24), b"\x67\x44\x66\x98" + bytes(24), b"\xff" * 65536,
    ], ids=["nearly right", "a reply's", "much"])
    def test_a_wrong_request_magic_ends_the_connection(self, server, garbage):
        with Client(server) as other, Client(server) as client:
            other.start()
            client.start().send_garbage(request_bytes(READ, 0, 512) + garbage)
            assert client.reply(512) == (0, 1, bytes(512))
            client.assert_ended()
            assert other.read(0, 512) == bytes(512)

    @pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
    @pytest.mark.parametrize("last_words", [
        b"", request_bytes(READ)[:27], request_bytes(WRITE, 0, MIB),
        request_bytes(WRITE, 4 * MIB, MIB) + bytes(500000),
        request_bytes(READ, 0, DISK_BYTES) * 50,
        request_bytes(WRITE_ZEROES, 0, 512) * 2000,
    ], ids=["idle", "in a header", "before a payload", "in a payload", "in replies", "busy"])
    def test_vanishing_clients_harm_nobody_else(self, server, last_words, tcp):
        with Client(server) as other:
            other.start()
            for _ in range(5):
                client = Client(server, tcp=tcp).start()
                client.send(last_words)
                client.vanish()
                assert other.read(MIB, 512) == bytes(512)
            wait_until(
                lambda: server.descriptor_count() == server.idle_descriptor_count + 1, other)

    def test_vanishing_before_the_greeting_is_read(self, memory_server):
        with Client(memory_server) as other:
            other.start()
            for _ in range(20):
                Client(memory_server, tcp=True).vanish()
            wait_until(
                lambda: (memory_server.descriptor_count()
                         == memory_server.idle_descriptor_count + 1), other)


def wait_until(condition, client):
    """Lets the server go round, by requests, until condition() holds."""
    for _ in range(100_000):
        client.read(0, 1)
        if condition():
            return
    raise AssertionError("the condition does not come about")


class TestBounds:
    def test_a_client_that_takes_no_replies_costs_a_fixed_amount(self, serve, disk_file):
        server = serve(disk_file)
        requests = 400
        with Client(server) as other:
            other.start()
            before = server.resident_bytes()
            greedy = [Client(server).start() for _ in range(8)]
            for client in greedy:
                client.send(request_bytes(READ, 0, MIB) * requests)
            for _ in range(100):
                assert other.read(0, 512) == bytes(512)
            assert server.resident_bytes() - before < len(greedy) * MIB
            # What they asked for is there when they come for it.
            for client in greedy:
                assert client.reply(MIB) == (0, 1, bytes(MIB))
            for _ in range(requests - 1):
                assert greedy[0].reply(MIB)[0] == 0
            assert greedy[0].read(0, 1) == b"\0"
            for client in greedy:
                client.socket.close()

    def test_one_busy_client_does_not_keep_out_another(self, memory_server):
        with Client(memory_server) as busy, Client(memory_server) as other:
            other.start()
            # Each of these copies 8 MiB on the server's side.
            busy.start().send(
                request_bytes(WRITE_ZEROES, 0, DISK_BYTES, flags=NO_HOLE, cookie=9) * 500)
            other.read(0, 512)
            # Were it not so, all 500 replies would be here by now.
            assert busy.waiting_bytes() < 500 * 16
            for _ in range(500):
                assert busy.reply() == (0, 9, b"")

    def test_a_full_server_takes_the_next_client_when_one_leaves(self, serve):
        server = serve("--size", DISK_BYTES, "--max-clients", 2)
        with Client(server) as first, Client(server) as second, Client(server) as third:
            first.start()
            second.start()
            before = server.descriptor_count()
            for _ in range(10):
                first.read(0, 1)
            assert server.descriptor_count() == before
            second.send_request(DISC)
            third.start()
            assert third.read(0, 1) == first.read(0, 1) == b"\0"

    def test_running_out_of_descriptors_is_survived(self, serve):
        server = serve("--size", DISK_BYTES)
        pid = server.process.pid
        with Client(server) as first:
            first.start()
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            in_use = max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use, limits[1]))
            clients = [Client(server) for _ in range(40)]
            for _ in range(10):
                assert first.read(0, 1) == b"\0"
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            for client in clients:
                assert client.start().read(0, 1) == b"\0"
                client.socket.close()

    def test_many_clients_at_once(self, server):
        clients = [Client(server, tcp=bool(i % 2)).start() for i in range(100)]
        for i, client in enumerate(clients):
            client.send_request(WRITE, 4096 * i, 4096, payload=pattern(4096, seed=i), cookie=i)
        for i, client in enumerate(clients):
            assert client.reply() == (0, i, b"")
        for i, client in enumerate(clients):
            assert client.read(4096 * (99 - i), 4096) == pattern(4096, seed=99 - i)
            client.socket.close()


# An export in a program of one's own, which tells at the end how often Python was called.
EMBEDDED = """
import signal, socket, sys
import qemu_mainloop
from nbd_export.server import ExportServer

loop = qemu_mainloop.main_loop()
loop.add_signal_handler(signal.SIGTERM, loop.stop)
export = ExportServer(size_bytes=1 << 20)
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    listener.listen()
    export.listen(listener)
    print("ready", flush=True)
    loop.run()
    print(export.client_count, loop.info()["python_callbacks"])
    export.close()
"""


class TestEmbedded:
    def test_requests_never_reach_python(self, project_environment, tmp_path_factory):
        path = tmp_path_factory.mktemp("s") / "socket"
        process = subprocess.Popen(
            [sys.executable, "-c", EMBEDDED, str(path)], env=project_environment, text=True,
            stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == "ready\n"
            with Client(SimpleNamespace(path=str(path))) as client:
                client.start().write(0, b"in C")
                for _ in range(100):
                    assert client.read(0, 4) == b"in C"
                process.terminate()
                client.assert_ended()
            # One client at the end, and one call: the signal's.
            assert process.communicate(timeout=TIMEOUT_S)[0] == "1 1\n"
            assert process.returncode == 0
        finally:
            process.kill()
            process.communicate()

    def test_no_module_could_take_the_gil(self, project_environment):
        folder = Path(project_environment["PYTHONPATH"].split(os.pathsep)[0]) / "nbd_export"
        modules = list(folder.glob("*.so"))
        assert len(modules) == 6
        for module in modules:
            assert b"PyGILState_Ensure" not in module.read_bytes()

    def test_misuse_is_an_exception(self, project_environment):
        script = """
import qemu_mainloop, socket
from nbd_export.server import ExportServer
def fails(kind, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except kind as error:
        return
    raise AssertionError((kind, arguments, options))
fails(RuntimeError, ExportServer, size_bytes=1)
qemu_mainloop.main_loop()
fails(ValueError, ExportServer)
fails(ValueError, ExportServer, size_bytes=1, file=open("/dev/null"))
fails(ValueError, ExportServer, "nul\\0", size_bytes=1)
fails(OSError, ExportServer, size_bytes=1 << 63)
fails(OSError, ExportServer, size_bytes=0)
export = ExportServer(size_bytes=1)
closed = socket.socket()
closed.close()
fails((OSError, ValueError), export.listen, closed)
with socket.create_server(("127.0.0.1", 0)) as listener:
    export.listen(listener)
    export.close()
    export.close()
    fails(RuntimeError, export.listen, listener)
"""
        subprocess.run([sys.executable, "-c", script], env=project_environment, check=True)


class TestReadOnly:
    @pytest.fixture(params=["memory", "file"])
    def read_only_server(self, request, serve, disk_file):
        return serve(*(("--size", DISK_BYTES) if request.param == "memory" else (disk_file,)),
                     "--read-only")

    def test_flags_say_so(self, read_only_server):
        with Client(read_only_server) as client:
            assert client.greet().go()[0] == (
                REP_INFO, struct.pack(">HQH", INFO_EXPORT, DISK_BYTES, READ_ONLY_FLAGS))

    def test_changes_are_refused(self, read_only_server, disk_file):
        with Client(read_only_server) as client:
            client.start()
            data = b"x" * MIB
            assert client.request(WRITE, 0, MIB, payload=data) == (EPERM, b"")
            assert client.request(TRIM, 0, 4096) == (EPERM, b"")
            assert client.request(WRITE_ZEROES, 0, 4096) == (EPERM, b"")
            assert client.read(0, MIB) == bytes(MIB)
        assert disk_file.read_bytes() == bytes(DISK_BYTES)

    def test_programs_agree(self, read_only_server):
        assert "is_read_only: true" in run("nbdinfo", read_only_server.unix_uri)
        run("qemu-io", "-r", "-f", "raw", "-c", "read -P 0 0 1M", read_only_server.tcp_uri)


class TestCommandLine:
    def run_module(self, environment, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "nbd_export", *map(str, arguments)],
            env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)

    def assert_fails(self, environment, arguments, *words, code=1):
        done = self.run_module(environment, *arguments)
        assert done.returncode == code and done.stdout == ""
        assert "Traceback" not in done.stderr
        for word in words:
            assert str(word) in done.stderr

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_cleanly(self, serve, number):
        server = serve("--size", DISK_BYTES)
        with Client(server) as idle, Client(server) as busy:
            idle.start()
            busy.start().send(request_bytes(WRITE, 0, MIB) + bytes(1000))
            server.stop(number)
            idle.assert_ended()
            busy.assert_ended()
        assert not os.path.lexists(server.path)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))

    def test_the_port_can_be_taken_again_at_once(self, serve, project_environment):
        server = serve("--size", DISK_BYTES)
        with Client(server, tcp=True) as client:
            client.start()
            server.stop()
        address = f"127.0.0.1:{server.port}"
        process = subprocess.Popen(
            [sys.executable, "-m", "nbd_export", "--size", "1M", "--listen", address],
            env=project_environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == f"RAM disk, 1048576 bytes: nbd://{address}\n"
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0

    def test_a_socket_of_somebody_else_is_left_alone(self, serve):
        server = serve("--size", DISK_BYTES)
        os.unlink(server.path)
        with socket.socket(socket.AF_UNIX) as usurper:
            usurper.bind(server.path)
            server.stop()
            assert os.path.exists(server.path)

    def test_written_data_outlives_the_server(self, serve, disk_file):
        server = serve(disk_file)
        with Client(server) as client:
            client.start().write(0, b"kept")
        server.stop()
        assert disk_file.read_bytes()[:4] == b"kept"

    def test_a_busy_address_is_named(self, memory_server, project_environment):
        address = f"127.0.0.1:{memory_server.port}"
        self.assert_fails(project_environment, ("--size", "1M", "--listen", address),
                          f"nbd_export: cannot listen on {address}: Address already in use")
        self.assert_fails(project_environment, ("--size", "1M", "--unix", memory_server.path),
                          memory_server.path, "Address already in use")
        # The failed one has taken nothing away from the one that runs.
        with Client(memory_server) as client:
            client.start()

    def test_a_file_that_cannot_be_exported_is_named(self, project_environment, tmp_path):
        missing = tmp_path / "missing.img"
        self.assert_fails(project_environment, (missing, "--listen", "127.0.0.1:0"),
                          f"nbd_export: cannot open {missing}: No such file or directory")
        self.assert_fails(project_environment, (tmp_path, "--listen", "127.0.0.1:0"),
                          tmp_path, "neither a file nor a block device")

    @pytest.mark.parametrize("arguments", [
        (), ("--size", "1M", "file"), ("--size", "0"), ("--size", "12Q"), ("--size", "-1"),
        ("--size", "1M", "--listen", "host:port"), ("--size", "1M", "--listen", "1.2.3.4:70000"),
    ], ids=" ".join)
    def test_a_wrong_command_line(self, project_environment, arguments):
        self.assert_fails(project_environment, arguments, "usage:", code=2)

    def test_values_out_of_range(self, project_environment):
        for arguments in (("--max-clients", 0), ("--handshake-timeout", 0), ("--name", "x" * 257)):
            self.assert_fails(
                project_environment, ("--size", "1M", "--listen", "127.0.0.1:0", *arguments),
                "nbd_export: cannot export a RAM disk:")


# The main loop in a thread beside a main thread that sits on the GIL, in a C function
# that says so and waits for a line.
GIL_HOLDER = """
import ctypes, os, socket, sys, threading
import qemu_mainloop
from nbd_export.server import ExportServer

loop = qemu_mainloop.main_loop()
export = ExportServer(size_bytes=1 << 20)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
export.listen(listener)

thread = threading.Thread(target=loop.run)
thread.start()
print("ready", flush=True)
os.read(0, 1)
ctypes.PyDLL(None).system(b"echo holding; read line")
loop.stop()
thread.join()
export.close()
"""


class TestGIL:
    def test_requests_are_served_while_another_thread_has_it(
            self, project_environment, tmp_path_factory):
        path = tmp_path_factory.mktemp("s") / "socket"
        process = subprocess.Popen(
            [sys.executable, "-c", GIL_HOLDER, str(path)], env=project_environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline() == "ready\n"
            with Client(SimpleNamespace(path=str(path))) as first:
                first.start()       # so the loop runs, and Python has nothing to do in it
                process.stdin.write("\n")
                process.stdin.flush()
                assert process.stdout.readline() == "holding\n"
                first.write(0, b"without")
                with Client(SimpleNamespace(path=str(path))) as second:
                    assert second.start().read(0, 7) == b"without"
                assert first.request(WRITE_ZEROES, 0, 1 << 20, flags=NO_HOLE) == (0, b"")
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.wait(TIMEOUT_S) == 0
        finally:
            process.kill()
            process.communicate()
