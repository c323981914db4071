"""Rows as JSON Lines and as CSV, from Python objects straight into UTF-8.

Text, whole numbers, floats, None, booleans, dicts, lists and tuples are written here; anything else is
first given to the callables of the room above. Those may run code of the user, so that whatever is
iterated over meanwhile is held and looked at again afterwards.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1
    Py_ssize_t PyDict_GET_SIZE(object mapping)
    double PyFloat_AS_DOUBLE(object number)
    PyObject *PyDict_GetItemWithError(object mapping, object key) except? NULL

# What is handed on at a time: large enough for few calls, small enough to stay in the cache.
cdef Py_ssize_t FLUSH_BYTES = 1 << 18

cdef enum:
    KEY_BYTES = 48  # a multiple of 16; names of fields are rarely longer
    N_KEYS = 128
    MOST_DEPTH = 1000  # as deep as Python's own recursion goes by default

cdef struct Key:
    PyObject *name
    uint8_t n_bytes
    char text[KEY_BYTES]

cdef raudo_power[RAUDO_N_POWERS] POWERS


def _fill_powers():
    """Compute the powers of ten that the shortest decimals are found with; exactly, in 1 ms."""
    for i in range(RAUDO_N_POWERS):
        k = RAUDO_POWER_LEAST + i
        ten = 10 ** abs(k)
        if k >= 0:
            shift = 128 - ten.bit_length()
            power = ten << shift if shift >= 0 else -(-ten >> -shift)
        else:
            power = -(-(1 << 127 + ten.bit_length()) // ten)
        POWERS[i].high = <uint64_t>(power >> 64)
        POWERS[i].low = <uint64_t>(power & 0xFFFF_FFFF_FFFF_FFFF)


_fill_powers()


@cython.final
cdef class Encoder:
    """Encodes rows for one file. Use by one thread at a time.

    `convert` turns a value of another type into one that can be written, `as_mapping` a row that is
    no dict, `key_text` a key that is no text; they raise `TypeError` for what cannot be turned. After
    an error `row` is the number of the row, in the list that was given, at which it arose.
    """

    cdef char *out
    cdef Py_ssize_t used, capacity, depth
    cdef Key keys[N_KEYS]
    cdef object convert, as_mapping, key_text
    cdef readonly Py_ssize_t row

    def __cinit__(self, convert, as_mapping, key_text):
        self.out = NULL
        self.used = self.capacity = self.row = 0
        memset(self.keys, 0, sizeof(self.keys))
        self.convert, self.as_mapping, self.key_text = convert, as_mapping, key_text

    def __dealloc__(self):
        free(self.out)
        for i in range(N_KEYS):
            Py_XDECREF(self.keys[i].name)

    # --- whole rows ---------------------------------------------------------------------------

    def json_lines(self, list rows not None, put not None):
        """Write a JSON object and a line feed for each row; `put` takes the bytes, in pieces."""
        self.row = self.used = self.depth = 0
        while self.row < PyList_GET_SIZE(rows):
            row = rows[self.row]
            if type(row) is not dict:
                row = dict(self.as_mapping(row))
            self._mapping(<dict>row)
            self._put_char(c"\n")
            if self.used >= FLUSH_BYTES:
                put(self._taken())
            self.row += 1
        if self.used:
            put(self._taken())

    def csv_lines(self, list rows not None, tuple columns not None, put not None):
        """Write a line for each row, the cells in the order of columns.

        Raises:
            LookupError: A row has a key that is no column.
        """
        cdef Py_ssize_t start
        self.row = self.used = self.depth = 0
        while self.row < PyList_GET_SIZE(rows):
            row = rows[self.row]
            if type(row) is not dict:
                row = dict(self.as_mapping(row))
            start = self.used
            if not self._cells_in_order(<dict>row, columns):
                self.used = start
                self._cells_by_name(<dict>row, columns)
            self._end_line(start, PyTuple_GET_SIZE(columns))
            if self.used >= FLUSH_BYTES:
                put(self._taken())
            self.row += 1
        if self.used:
            put(self._taken())

    def csv_line(self, tuple cells not None):
        """Return one line of cells."""
        self.used = self.depth = 0
        for i in range(PyTuple_GET_SIZE(cells)):
            if i:
                self._put_comma()
            self._cell(cells[i])
        self._end_line(0, PyTuple_GET_SIZE(cells))
        return self._taken()

    def json(self, value):
        """Return one value as JSON."""
        self.used = self.depth = 0
        self._value(value)
        return self._taken()

    # --- the buffer ---------------------------------------------------------------------------

    cdef inline char *_room(self, Py_ssize_t n_bytes) except NULL:
        """Return where so many bytes, and the slack, may be written."""
        if self.capacity - self.used < n_bytes + RAUDO_SLACK:
            self._grow(n_bytes + RAUDO_SLACK)
        return self.out + self.used

    cdef int _grow(self, Py_ssize_t n_bytes) except -1:
        cdef Py_ssize_t capacity = max(2 * self.capacity, self.used + n_bytes, FLUSH_BYTES)
        cdef char *out = <char *>realloc(self.out, capacity)
        if out == NULL:
            raise MemoryError()
        self.out, self.capacity = out, capacity
        return 0

    cdef inline int _end(self, const char *end) except -1:
        self.used = end - self.out
        return 0

    cdef inline int _put_char(self, char c) except -1:
        self._room(1)[0] = c
        self.used += 1
        return 0

    cdef inline int _put_comma(self) except -1:
        """Go on to the next cell: `_cell` leaves room for this."""
        self.out[self.used] = c","
        self.used += 1
        return 0

    cdef inline int _put(self, const char *text, Py_ssize_t n_bytes) except -1:
        memcpy(self._room(n_bytes), text, n_bytes)
        self.used += n_bytes
        return 0

    cdef bytes _taken(self):
        taken = PyBytes_FromStringAndSize(self.out, self.used)
        self.used = 0
        return taken

    cdef inline int _go_down(self) except -1:
        self.depth += 1  # set to 0 again at each start, so that an error may leave it
        if self.depth > MOST_DEPTH:
            raise RecursionError(f"values are nested more than {MOST_DEPTH} deep")
        return 0

    # --- JSON ---------------------------------------------------------------------------------

    cdef int _value(self, object value) except -1:
        cdef type kind = type(value)
        if kind is str:
            return self._string(value)
        if kind is int:
            return self._integer(value)
        if kind is float:
            return self._number(value)
        if value is None:
            return self._put(b"null", 4)
        if value is True:
            return self._put(b"true", 4)
        if value is False:
            return self._put(b"false", 5)
        self._go_down()
        if kind is dict:
            self._mapping(<dict>value)
        elif kind is list:
            self._list(<list>value)
        elif kind is tuple:
            self._tuple(<tuple>value)
        else:
            self._other(value)
        self.depth -= 1
        return 0

    cdef int _other(self, object value) except -1:
        held = value
        if isinstance(held, str):
            return self._string(held)
        if isinstance(held, int):
            return self._integer(held)
        if isinstance(held, float):
            return self._number(held)
        if isinstance(held, dict):
            return self._mapping(dict(held))
        if isinstance(held, (list, tuple)):
            return self._list(list(held))
        return self._value(self.convert(held))

    cdef int _string(self, object text) except -1:
        cdef Py_ssize_t n = PyUnicode_GET_LENGTH(text)
        cdef int kind
        cdef void *data = PyUnicode_DATA(text)
        cdef char *out = self._room(6 * n + 2)
        out[0] = c'"'
        out += 1
        if PyUnicode_IS_ASCII(text):
            out = raudo_put_json_bytes(out, <uint8_t *>data, n)
        else:
            kind = PyUnicode_KIND(text)
            if kind == 1:
                out = raudo_put_json_latin(out, <uint8_t *>data, n)
            elif kind == 2:
                out = raudo_put_json_ucs2(out, <uint16_t *>data, n)
            else:
                out = raudo_put_json_ucs4(out, <uint32_t *>data, n)
        out[0] = c'"'
        return self._end(out + 1)

    cdef int _integer(self, object number) except -1:
        cdef int overflow = 0
        cdef long long value = PyLong_AsLongLongAndOverflow(number, &overflow)
        if overflow:
            text = int.__repr__(number).encode("ascii")
            return self._put(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        return self._end(raudo_put_integer(self._room(RAUDO_INTEGER_CHARS), value))

    cdef int _float(self, object number) except -1:
        cdef char *out = self._room(RAUDO_DOUBLE_CHARS)
        return self._end(raudo_put_double(out, PyFloat_AS_DOUBLE(number), POWERS))

    cdef int _number(self, object number) except -1:
        """Write a float as JSON, which has no word for what is not finite."""
        if PyFloat_AS_DOUBLE(number) - PyFloat_AS_DOUBLE(number) != 0:
            return self._put(b"null", 4)
        return self._float(number)

    cdef int _mapping(self, dict mapping) except -1:
        cdef Py_ssize_t at = 0, n_items = PyDict_GET_SIZE(mapping)
        cdef PyObject *name
        cdef PyObject *value
        cdef char before = c"{"
        held = mapping  # the code of a value's type may drop what holds it
        while PyDict_Next(held, &at, &name, &value):
            item = <object>value  # held too: a key that is no text may have code of its own
            self._put_char(before)
            before = c","
            self._key(<object>name)
            self._value(item)
            if PyDict_GET_SIZE(held) != n_items:
                raise RuntimeError("a row changed while it was written")
        if before == c"{":
            self._put_char(c"{")
        return self._put_char(c"}")

    cdef int _key(self, object name) except -1:
        """Write a key and its colon, from a cache by identity: rows mostly share their keys."""
        cdef Key *key = &self.keys[(<size_t><PyObject *>name >> 4) % N_KEYS]
        cdef Py_ssize_t start = self.used
        if key.name == <PyObject *>name:
            memcpy(self._room(KEY_BYTES), key.text, KEY_BYTES)
            self.used += key.n_bytes
            return 0
        if isinstance(name, str):
            self._string(name)
        else:
            self._string(self.key_text(name))
        self._put_char(c":")
        if type(name) is str and self.used - start <= KEY_BYTES:
            Py_XDECREF(key.name)
            Py_INCREF(name)
            key.name, key.n_bytes = <PyObject *>name, <uint8_t>(self.used - start)
            memcpy(key.text, self.out + start, key.n_bytes)
        return 0

    cdef int _list(self, list values) except -1:
        cdef Py_ssize_t i = 0
        held = values
        self._put_char(c"[")
        while i < PyList_GET_SIZE(held):
            if i:
                self._put_char(c",")
            value = <object>PyList_GET_ITEM(held, i)
            self._value(value)
            i += 1
        return self._put_char(c"]")

    cdef int _tuple(self, tuple values) except -1:
        held = values
        self._put_char(c"[")
        for i in range(PyTuple_GET_SIZE(held)):
            if i:
                self._put_char(c",")
            self._value(<object>PyTuple_GET_ITEM(held, i))
        return self._put_char(c"]")

    # --- CSV ----------------------------------------------------------------------------------

    cdef bint _cells_in_order(self, dict row, tuple columns) except -1:
        """Write the cells of a row whose keys are the very columns, in order; False if not."""
        cdef Py_ssize_t at = 0, i = 0, n = PyTuple_GET_SIZE(columns)
        cdef PyObject *name
        cdef PyObject *value
        if PyDict_GET_SIZE(row) != n:
            return False
        while PyDict_Next(row, &at, &name, &value):
            if i == n or name != <PyObject *>PyTuple_GET_ITEM(columns, i):
                return False
            if i:
                self._put_comma()
            self._cell(<object>value)
            i += 1
            if i == n:  # not asked again: the size was right, and is if no cell's code changed it
                return PyDict_GET_SIZE(row) == n
        return n == 0

    cdef int _cells_by_name(self, dict row, tuple columns) except -1:
        cdef Py_ssize_t n_found = 0
        cdef PyObject *found
        for i in range(PyTuple_GET_SIZE(columns)):
            if i:
                self._put_comma()
            found = PyDict_GetItemWithError(row, <object>PyTuple_GET_ITEM(columns, i))
            if found != NULL:
                n_found += 1
                self._cell(<object>found)
            else:
                self._room(1)
        if n_found != PyDict_GET_SIZE(row):
            raise LookupError("a row has a key that is no column")
        return 0

    cdef int _end_line(self, Py_ssize_t start, Py_ssize_t n_cells) except -1:
        # A line with nothing on it is no row to most readers.
        if n_cells == 1 and self.used == start:
            self._put(b'""', 2)
        return self._put_char(c"\n")

    cdef int _cell(self, object value) except -1:
        cdef type kind = type(value)
        if kind is str:
            return self._text_cell(value)
        if value is None:
            self._room(1)
            return 0
        if kind is int:
            return self._integer(value)
        if kind is float:
            return self._float(value)
        if value is True:
            return self._put(b"true", 4)
        if value is False:
            return self._put(b"false", 5)
        self._go_down()
        self._other_cell(value)
        self.depth -= 1
        return 0

    cdef int _other_cell(self, object value) except -1:
        cdef Py_ssize_t start = self.used
        held = value
        if isinstance(held, str):
            return self._text_cell(held)
        if isinstance(held, int):
            return self._integer(held)
        if isinstance(held, float):
            return self._float(held)
        if not isinstance(held, (dict, list, tuple)):
            return self._cell(self.convert(held))
        self._value(held)
        json = PyBytes_FromStringAndSize(self.out + start, self.used - start)
        self.used = start
        return self._end(
            raudo_put_cell_bytes(
                self._room(2 * len(json) + 2),
                <const uint8_t *>PyBytes_AS_STRING(json),
                PyBytes_GET_SIZE(json),
            )
        )

    cdef int _text_cell(self, object text) except -1:
        cdef Py_ssize_t n = PyUnicode_GET_LENGTH(text)
        cdef int kind
        cdef void *data = PyUnicode_DATA(text)
        if PyUnicode_IS_ASCII(text):
            return self._end(
                raudo_put_cell_bytes(self._room(2 * n + 2), <uint8_t *>data, n)
            )
        cdef char *out = self._room(6 * n + 2)
        kind = PyUnicode_KIND(text)
        if kind == 1:
            out = raudo_put_cell_latin(out, <uint8_t *>data, n)
        elif kind == 2:
            out = raudo_put_cell_ucs2(out, <uint16_t *>data, n)
        else:
            out = raudo_put_cell_ucs4(out, <uint32_t *>data, n)
        return self._end(out)


def float_text(double value):
    """Return the text of a float, which is that of `repr`."""
    cdef char out[RAUDO_DOUBLE_CHARS]
    return out[:raudo_put_double(out, value, POWERS) - out].decode("ascii")


def integer_text(long long value):
    """Return the digits of a whole number."""
    cdef char out[RAUDO_INTEGER_CHARS]
    return out[:raudo_put_integer(out, value) - out].decode("ascii")
