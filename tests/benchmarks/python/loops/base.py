"""What a Python contestant provides.

A contestant is one module of this package with a function make() (make(variant)
where it has any) that returns a new loop, good for the calling thread, with these members.  None
for a member that the library does not have.

    name, version
    run(main)               runs the loop, calls main() in it, returns after
                            stop()
    stop()                  from a callback
    call_soon(cb)
    call_soon_threadsafe(cb)
    again(cb) -> function   each call of the function, from any thread, defers cb; for a
                            library whose users keep an object and schedule it again
    add_reader(fd, cb)      level-triggered
    delay(seconds)          a delay in the unit that the library's users count in
    call_later(delay, cb) -> handle
    cancel(handle)
    serve(kind, port)       echo server on 127.0.0.1, made in main();
                            kind is one of serve_kinds

Members are looked up once per run: bind library methods directly where they
fit, so that no wrapper is measured.
"""

HOST = "127.0.0.1"


class Base:
    name = version = ""
    serve_kinds = ()
    call_soon = call_soon_threadsafe = again = add_reader = None
    call_later = cancel = None

    @staticmethod
    def delay(seconds):
        return seconds
