"""The kernel interfaces of this build, best first: importing one registers it."""

from importlib import import_module

_BEST_FIRST = ("adaptive", "epoll", "kqueue", "poll", "win32", "io_uring")

for _name in _BEST_FIRST:
    try:
        import_module(f"{__name__}.{_name}")
    except ModuleNotFoundError as error:
        # Meson builds what this platform has.
        if error.name != f"{__name__}.{_name}":
            raise
