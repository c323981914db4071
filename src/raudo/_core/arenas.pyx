"""Where Python's allocator gets its arenas while objects are made in bulk; see `csrc/entry/arenas.h`."""

cdef extern from "entry/arenas.h":
    ctypedef struct raudo_arenas:
        pass
    void raudo_arenas_begin(raudo_arenas *) noexcept
    void raudo_arenas_end(raudo_arenas *) noexcept

cdef raudo_arenas ARENAS  # of the process, as the allocator is


def begin():
    """From now on arenas come in large pages. Does nothing where that cannot be had."""
    raudo_arenas_begin(&ARENAS)


def end():
    """Give the allocator back as it was found. What was made stays where it is."""
    raudo_arenas_end(&ARENAS)
