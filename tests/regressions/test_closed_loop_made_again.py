"""close() and then __init__() made the loop's old objects usable: they wrote to freed memory."""

import pytest

import qemu_mainloop as q


def test_second_init_is_refused():
    loop = q.MainLoop()
    bh = loop.bh_new(print)
    loop.close()
    with pytest.raises(RuntimeError, match="initialised already"):
        loop.__init__()
    with pytest.raises(RuntimeError, match="closed"):
        bh.schedule()
