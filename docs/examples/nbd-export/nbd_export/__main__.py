"""python -m nbd_export: exports a file or a RAM disk over NBD until SIGINT or SIGTERM."""

import argparse
import os
import signal
import socket
import stat
import sys
from contextlib import ExitStack
from urllib.parse import quote

import qemu_mainloop
from nbd_export.server import ExportServer

DEFAULT_PORT = 10809
BACKLOG = 128
SIZE_SUFFIXES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class UserError(Exception):
    """Something the user can put right; the message is all there is to say."""


def parse_size(text):
    """The bytes in a size such as ``64M``."""
    digits, suffix = (text, "") if text[-1:].isdigit() else (text[:-1], text[-1:].upper())
    if not (digits.isascii() and digits.isdigit()) or suffix not in SIZE_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 65536, 64M or 2G")
    size_bytes = int(digits) * SIZE_SUFFIXES[suffix]
    if not 0 < size_bytes < 1 << 62:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range")
    return size_bytes


def parse_address(text):
    """The host and port in ``host:port``, ``[host]:port``, ``host`` or ``:port``."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        valid = bracket and (not port or port.startswith(":"))
        port = port[1:]
    else:
        host, _, port = text.rpartition(":") if ":" in text else (text, "", "")
        valid = ":" not in host
    port = port or str(DEFAULT_PORT)
    if not valid or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as 127.0.0.1:10809")
    return host, int(port)


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="nbd_export", description="Exports a file or a RAM disk over the NBD protocol.")
    parser.add_argument("file", nargs="?", help="file or block device to export")
    parser.add_argument("--size", type=parse_size, metavar="BYTES",
                        help="export a RAM disk of this size instead (suffixes K, M, G, T)")
    parser.add_argument("--listen", type=parse_address, action="append", default=[],
                        metavar="HOST:PORT",
                        help="TCP address; port 0 takes a free one (default, if there is no "
                             f"--unix either: 127.0.0.1:{DEFAULT_PORT})")
    parser.add_argument("--unix", action="append", default=[], metavar="PATH",
                        help="UNIX socket, which is removed at the end")
    parser.add_argument("--name", default="", help="the export's name (default: empty)")
    parser.add_argument("--read-only", action="store_true", help="refuse every change")
    parser.add_argument("--max-clients", type=int, default=128, metavar="N",
                        help="how many connections are served at a time (default: 128)")
    parser.add_argument("--handshake-timeout", type=float, default=10.0, metavar="SECONDS",
                        help="how long a client may take to choose the export (default: 10)")
    options = parser.parse_args(arguments)
    if (options.file is None) == (options.size is None):
        parser.error("give either a file or --size")
    if not options.listen and not options.unix:
        options.listen.append(("127.0.0.1", DEFAULT_PORT))
    return options


def open_file(path, read_only):
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise UserError(f"cannot export {path}: it is neither a file nor a block device")
        return open(path, "rb" if read_only else "r+b", buffering=0)
    except OSError as error:
        raise UserError(f"cannot open {path}: {error.strerror}") from None


def listen_tcp(host, port, stack):
    """Sockets for every address that the host has; an empty host stands for all."""
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UserError(f"cannot find {host}: {error.strerror}") from None
    listeners = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        if port == 0 and listeners:
            address = (address[0], listeners[0].getsockname()[1], *address[2:])
        try:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise UserError(
                f"cannot listen on {tcp_name(address)}: {error.strerror}") from None
        listeners.append(listener)
    return listeners


def listen_unix(path, stack):
    listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    try:
        listener.bind(path)
        status = os.lstat(path)
        stack.callback(unlink_socket, path, (status.st_dev, status.st_ino))
        listener.listen(BACKLOG)
    except OSError as error:
        raise UserError(f"cannot listen on {path}: {error.strerror or error}") from None
    return listener


def unlink_socket(path, identity):
    """Removes the socket that we made, not one that has taken its place."""
    try:
        status = os.lstat(path)
        if (status.st_dev, status.st_ino) == identity:
            os.unlink(path)
    except FileNotFoundError:
        pass


def tcp_name(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def uri(listener, name):
    """The address in the form that NBD clients take."""
    if listener.family == socket.AF_UNIX:
        return f"nbd+unix:///{quote(name)}?socket={quote(listener.getsockname())}"
    suffix = f"/{quote(name)}" if name else ""
    return f"nbd://{tcp_name(listener.getsockname())}{suffix}"


def serve(options):
    loop = qemu_mainloop.main_loop()
    # From here on a signal ends the run() to come, so whatever is made is also undone.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, loop.stop)
    with ExitStack() as stack:
        file = None
        if options.file is not None:
            file = stack.enter_context(open_file(options.file, options.read_only))
        listeners = [listener for host, port in options.listen
                     for listener in listen_tcp(host, port, stack)]
        listeners += [listen_unix(path, stack) for path in options.unix]
        try:
            export = ExportServer(
                options.name, size_bytes=options.size, file=file,
                read_only=options.read_only, max_clients=options.max_clients,
                handshake_timeout=options.handshake_timeout)
        except (ValueError, OSError) as error:
            raise UserError(f"cannot export {options.file or 'a RAM disk'}: {error}") from None
        stack.callback(close_export, export, options.file)
        for listener in listeners:
            export.listen(listener)
        what = "RAM disk" if file is None else options.file
        for listener in listeners:
            print(f"{what}, {export.size_bytes} bytes: {uri(listener, options.name)}", flush=True)
        loop.run()


def close_export(export, path):
    try:
        export.close()
    except OSError as error:
        raise UserError(f"cannot flush {path}: {error.strerror}") from None


def main(arguments=None):
    try:
        serve(parse_arguments(arguments))
    except UserError as error:
        sys.exit(f"nbd_export: {error}")


if __name__ == "__main__":
    main()
