"""The package itself, as a Python program would use it.

A deferred callback is a BottomHalf.  Its users keep it and schedule it again, which is what
again() is for; the variant "new" makes one for each callback instead, as a program ported from
call_soon would.
"""

import socket
import time

import qemu_mainloop

from .base import HOST, Base


def later(timer_new, now_ns=time.monotonic_ns):
    def call_later(delay_ns, cb):
        timer = timer_new(cb)
        timer.mod_ns(now_ns() + delay_ns)
        return timer

    return call_later


class QemuMainloop(Base):
    name, version = "qemu_mainloop", qemu_mainloop.__version__
    serve_kinds = ("callbacks",)
    cancel = staticmethod(qemu_mainloop.Timer.delete)

    @staticmethod
    def delay(seconds):
        return int(seconds * 1e9)

    def __init__(self, variant=""):
        self.loop = qemu_mainloop.MainLoop()
        self.stop = self.loop.stop
        self.call_later = later(self.loop.timer_new)
        self.add_reader = self.loop.set_fd_handler
        if variant == "new":
            self.again = None

    def run(self, main):
        self.call_soon(main)
        self.loop.run()

    def call_soon(self, cb):
        self.loop.bh_new(cb).schedule()

    call_soon_threadsafe = call_soon

    def again(self, cb):
        return self.loop.bh_new(cb).schedule

    def serve(self, kind, port):
        watch = self.loop.set_fd_handler
        listener = socket.create_server((HOST, port))
        listener.setblocking(False)

        def on_connection():
            conn, _ = listener.accept()
            conn.setblocking(False)
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            recv, send = conn.recv, conn.send

            def on_readable():
                try:
                    data = recv(65536)
                except ConnectionResetError:
                    data = b""
                if data:
                    send(data)
                else:
                    watch(conn)
                    conn.close()

            watch(conn, on_readable)

        watch(listener, on_connection)


make = QemuMainloop
