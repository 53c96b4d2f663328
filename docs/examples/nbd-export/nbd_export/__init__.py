"""Exports a file or a RAM disk over the NBD protocol from QEMU's main loop.

The command line is ``python -m nbd_export``; a program that has a main loop of
its own uses :class:`nbd_export.server.ExportServer`.
"""
