"""C threads that stress loops, built against the installed package."""
