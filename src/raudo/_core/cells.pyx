"""Cells of comma-separated text: the columns that are wanted, of many rows at once."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

cdef extern from "Python.h":
    str PyUnicode_DecodeUTF8(const char *text, Py_ssize_t n, const char *errors)

cdef extern from "cells/record.h" nogil:
    ctypedef struct raudo_cell:
        size_t start, n_bytes
        bint has_pairs
    ctypedef struct raudo_dialect:
        uint8_t delimiter
        bint is_quoted
        size_t most_bytes
    ctypedef struct raudo_record:
        size_t end, n_cells, n_lines
    bint raudo_read_record(
        const uint8_t *text, size_t n, size_t at, raudo_dialect dialect,
        const size_t *wanted, size_t n_wanted, raudo_cell *cells, raudo_record *record
    )

cdef enum:
    MOST_WANTED = 8


def pick(
    bytes text not None,
    size_t at,
    Py_ssize_t number,
    tuple wanted not None,
    Py_ssize_t most,
    str delimiter not None,
    bint is_quoted,
    size_t most_bytes,
    list numbers not None,
    tuple cells not None,
):
    """Read rows of UTF-8 text from `at` on, until `most` are in `numbers`; stop at one that is not
    well-formed, or that has no end in this text.

    For each row but empty ones its last line is appended to `numbers`, and to each list of `cells` the
    cell of the column of `wanted` (8 at most), None where the row has fewer. `number` is that of the last
    line before `at`. Returns where it stopped and the number of the last line before that.
    """
    cdef raudo_dialect dialect = raudo_dialect(
        delimiter=<uint8_t>ord(delimiter), is_quoted=is_quoted, most_bytes=most_bytes
    )
    cdef size_t[MOST_WANTED] columns
    cdef raudo_cell[MOST_WANTED] found
    cdef raudo_record record
    cdef Py_ssize_t n_wanted = len(wanted)
    cdef size_t n = PyBytes_GET_SIZE(text)
    cdef const char *start = PyBytes_AS_STRING(text)
    cdef list column
    if n_wanted > MOST_WANTED or n_wanted != len(cells):
        raise ValueError(f"wanted has {n_wanted} columns for {len(cells)} lists, at most {MOST_WANTED}")
    for i in range(n_wanted):
        columns[i] = wanted[i]
    while at < n and len(numbers) < most:
        if not raudo_read_record(
            <const uint8_t *>start, n, at, dialect, columns, n_wanted, found, &record
        ):
            break
        at = record.end
        number += record.n_lines
        if not record.n_cells:
            continue
        numbers.append(number)
        for i in range(n_wanted):
            column = cells[i]
            column.append(
                _cell(start, found[i]) if columns[i] < record.n_cells else None
            )
    return at, number


cdef inline str _cell(const char *text, raudo_cell cell):
    if cell.has_pairs:
        return text[cell.start:cell.start + cell.n_bytes].replace(b'""', b'"').decode()
    return PyUnicode_DecodeUTF8(text + cell.start, cell.n_bytes, NULL)
