"""Every link of the documentation leads somewhere, and every name of the header is in it."""

import re
from pathlib import Path

import pytest

import qemu_mainloop

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
# main-loop.h of QEMU 1.3, as far as it declares functions.
HEADER = """
    qemu_init_main_loop main_loop_init main_loop_wait qemu_notify_event
    qemu_add_polling_cb qemu_del_polling_cb qemu_add_wait_object qemu_del_wait_object
    qemu_set_fd_handler2 qemu_set_fd_handler qemu_add_child_watch
    qemu_mutex_iothread_locked qemu_mutex_lock_iothread qemu_mutex_unlock_iothread
    qemu_fd_register qemu_iohandler_fill qemu_iohandler_poll
    qemu_bh_new qemu_bh_schedule qemu_bh_schedule_idle qemu_bh_cancel qemu_bh_delete
    qemu_bh_poll qemu_bh_update_timeout
""".split()


def prose(page):
    """The page without its code blocks, which may show links that are none."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchor(heading):
    """The anchor that a heading gets from a Markdown renderer."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page):
    return {anchor(text) for text in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    for target in LINK.findall(re.sub(r"\s+", " ", prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        destination = (page.parent / path).resolve() if path else page
        assert destination.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert destination.exists(), f"{target} leads nowhere"
        if fragment and destination.suffix == ".md":
            assert fragment in anchors(destination), f"{target}: no such heading"


def test_every_page_can_be_reached_from_the_readme():
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        targets = LINK.findall(re.sub(r"\s+", " ", prose(page)))
        todo += [(page.parent / target.partition("#")[0]).resolve() for target in targets]
    lost = [str(page.relative_to(ROOT)) for page in PAGES if page not in seen]
    assert [page for page in lost if page != "CHANGELOG.md"] == []


def test_every_name_of_the_header_is_in_the_table_of_differences():
    text = (ROOT / "docs" / "from-qemu.md").read_text()
    missing = [name for name in HEADER if not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_every_name_of_the_header_is_there_for_python():
    assert [name for name in HEADER if name not in qemu_mainloop.__all__] == []
