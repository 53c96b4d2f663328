"""A user of the C API, built with meson."""
