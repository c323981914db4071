# cython: binding=False
"""Reads the pickles that name no class and call nothing: numbers, text, bytes and built-in containers.

Such a pickle needs none of what makes pickle dangerous, and none of what makes it slow: no file, no
memo table that outlives a value, no look-up of classes. Of protocol 5 this knows the opcodes that make
None, bool, int, float, str, bytes, bytearray, list, tuple, dict, set and frozenset, shared or nested in
themselves; whoever calls it falls back on pickle for anything else. The result is the one that
`pickle.loads` gives.

The opcodes are those of CPython's Lib/pickletools.py.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

cdef extern from "Python.h":
    # As raw pointers: the stack below owns each of them, and NULL is looked at by hand.
    PyObject *raw_none "Py_None"
    PyObject *raw_true "Py_True"
    PyObject *raw_false "Py_False"
    PyObject *raw_dict "PyDict_New"()
    PyObject *raw_list "PyList_New"(Py_ssize_t n)
    PyObject *raw_tuple "PyTuple_New"(Py_ssize_t n)
    PyObject *raw_set "PySet_New"(PyObject *items)
    PyObject *raw_frozenset "PyFrozenSet_New"(PyObject *items)
    PyObject *raw_int "PyLong_FromLong"(long value)
    PyObject *raw_float "PyFloat_FromDouble"(double value)
    PyObject *raw_text "PyUnicode_DecodeUTF8"(const char *text, Py_ssize_t n, const char *errors)
    PyObject *raw_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t n)
    PyObject *raw_bytearray "PyByteArray_FromStringAndSize"(const char *data, Py_ssize_t n)
    bint PyDict_CheckExact(PyObject *value)
    bint PyList_CheckExact(PyObject *value)
    bint PySet_CheckExact(PyObject *value)
    bint PyTuple_CheckExact(PyObject *value)
    PyObject *raw_item "PyTuple_GET_ITEM"(PyObject *owner, Py_ssize_t at)
    Py_ssize_t raw_length "PyTuple_GET_SIZE"(PyObject *owner)
    int raw_set_item "PyDict_SetItem"(PyObject *owner, PyObject *key, PyObject *value)
    int raw_append "PyList_Append"(PyObject *owner, PyObject *value)
    int raw_add "PySet_Add"(PyObject *owner, PyObject *value)
    void raw_put_item "PyTuple_SET_ITEM"(PyObject *owner, Py_ssize_t at, PyObject *value)
    void raw_keep "Py_INCREF"(PyObject *value)
    void raw_drop "Py_DECREF"(PyObject *value)
    void PyErr_Clear()

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec, tv_nsec
    int nanosleep(const timespec *wanted, timespec *left)

cdef enum:
    OPCODES_AT_A_TIME = 4096  # some 0.2 ms of work
    PAUSE_NS = 20000  # as long as a waiting thread takes to wake up: it has to get the GIL first
    FIRST_ROOM = 64  # of objects; a record of 1 KB has a stack of ten and a memo of forty
    DEEPEST = 500  # tuples in one another where they are hashed, each of which takes some C stack


cdef struct Reader:
    const uint8_t *at
    const uint8_t *end
    PyObject **stack      # owned; freed with what it still holds when the reading ends
    Py_ssize_t n_stack
    Py_ssize_t stack_room
    PyObject **memo       # owned
    Py_ssize_t n_memo
    Py_ssize_t memo_room
    Py_ssize_t *marks     # places in the stack
    Py_ssize_t n_marks
    Py_ssize_t marks_room
    bint is_too_deep
    bint pauses


cdef bint grow(void **items, Py_ssize_t *room, size_t item_bytes) noexcept:
    cdef Py_ssize_t wanted = 2 * room[0] if room[0] else FIRST_ROOM
    cdef void *grown = realloc(items[0], wanted * item_bytes)
    if grown == NULL:
        return False
    items[0] = grown
    room[0] = wanted
    return True


cdef bint push(Reader *r, PyObject *value) noexcept:
    """Give a new reference to the stack; False where there was none, or no room for it."""
    if value == NULL:
        return False
    if r.n_stack == r.stack_room and not grow(<void **> &r.stack, &r.stack_room, sizeof(PyObject *)):
        raw_drop(value)
        return False
    r.stack[r.n_stack] = value
    r.n_stack += 1
    return True


cdef bint push_kept(Reader *r, PyObject *value) noexcept:
    raw_keep(value)
    return push(r, value)


cdef bint memoize(Reader *r) noexcept:
    if not r.n_stack:
        return False
    if r.n_memo == r.memo_room and not grow(<void **> &r.memo, &r.memo_room, sizeof(PyObject *)):
        return False
    r.memo[r.n_memo] = r.stack[r.n_stack - 1]
    raw_keep(r.memo[r.n_memo])
    r.n_memo += 1
    return True


cdef bint mark(Reader *r) noexcept:
    if r.n_marks == r.marks_room and not grow(<void **> &r.marks, &r.marks_room, sizeof(Py_ssize_t)):
        return False
    r.marks[r.n_marks] = r.n_stack
    r.n_marks += 1
    return True


cdef Py_ssize_t pop_mark(Reader *r) noexcept:
    """Return where the topmost mark stands, -1 where there is none."""
    if not r.n_marks:
        return -1
    r.n_marks -= 1
    return r.marks[r.n_marks]


cdef void cut(Reader *r, Py_ssize_t to) noexcept:
    """Drop what the stack holds from there on; first out of its sight, as dropping may run code."""
    cdef PyObject *value
    while r.n_stack > to:
        r.n_stack -= 1
        value = r.stack[r.n_stack]
        raw_drop(value)


cdef bint take(Reader *r, uint64_t n, const char **found) noexcept:
    """Go past n bytes; False where there are not so many."""
    if <uint64_t> (r.end - r.at) < n:
        return False
    found[0] = <const char *> r.at
    r.at += n
    return True


cdef bint size_of(Reader *r, int width, uint64_t *value) noexcept:
    """Read an unsigned number of so many bytes, little endian."""
    cdef const char *found
    cdef int i
    if not take(r, width, &found):
        return False
    value[0] = 0
    for i in range(width):
        value[0] |= <uint64_t> <uint8_t> found[i] << (8 * i)
    return True


cdef Py_ssize_t floor_of(Reader *r) noexcept:
    """Return how much of the stack lies below the topmost mark, where no opcode may reach."""
    return r.marks[r.n_marks - 1] if r.n_marks else 0


cdef bint tuple_of(Reader *r, Py_ssize_t start) noexcept:
    """Make a tuple of what the stack holds from there on; False for a start that is none."""
    if start < floor_of(r):
        return False
    cdef Py_ssize_t n = r.n_stack - start, i
    cdef PyObject *made = raw_tuple(n)
    if made == NULL:
        return False
    for i in range(n):
        raw_put_item(made, i, r.stack[start + i])
    r.n_stack = start
    return push(r, made)


cdef bint is_shallow(PyObject *value, int most) noexcept:
    """Say whether tuples are in one another at the most so deep."""
    cdef Py_ssize_t i
    if not PyTuple_CheckExact(value):
        return True
    if most == 0:
        return False
    for i in range(raw_length(value)):
        if not is_shallow(raw_item(value, i), most - 1):
            return False
    return True


cdef bint may_hash(Reader *r, PyObject *value) noexcept:
    if PyTuple_CheckExact(value) and not is_shallow(value, DEEPEST):
        r.is_too_deep = True
    return not r.is_too_deep


cdef bint set_items(Reader *r, Py_ssize_t start) noexcept:
    cdef Py_ssize_t i
    if start <= floor_of(r) or (r.n_stack - start) % 2 or not PyDict_CheckExact(r.stack[start - 1]):
        return False
    for i in range(start, r.n_stack, 2):
        if not may_hash(r, r.stack[i]):
            return False
        if raw_set_item(r.stack[start - 1], r.stack[i], r.stack[i + 1]) < 0:
            return False
    cut(r, start)
    return True


cdef bint add_each(Reader *r, Py_ssize_t start, bint is_set) noexcept:
    """Add what the stack holds from there on to the set or list below it."""
    cdef Py_ssize_t i
    cdef PyObject *owner
    cdef PyObject *item
    if start <= floor_of(r):
        return False
    owner = r.stack[start - 1]
    if not (PySet_CheckExact(owner) if is_set else PyList_CheckExact(owner)):
        return False
    for i in range(start, r.n_stack):
        item = r.stack[i]
        if is_set and not may_hash(r, item):
            return False
        if (raw_add(owner, item) if is_set else raw_append(owner, item)) < 0:
            return False
    cut(r, start)
    return True


cdef bint frozenset_of(Reader *r, Py_ssize_t start) noexcept:
    cdef Py_ssize_t i
    for i in range(max(start, 0), r.n_stack):
        if not may_hash(r, r.stack[i]):
            return False
    if not tuple_of(r, start):
        return False
    cdef PyObject *made = raw_frozenset(r.stack[start])
    cut(r, start)
    return push(r, made)


cdef bint long_of(Reader *r, const char *found, uint64_t n) except -1:
    value = int.from_bytes(found[:n], "little", signed=True)
    return push_kept(r, <PyObject *> value)


cdef double double_of(const uint8_t *big_endian) noexcept:
    cdef uint64_t bits = 0
    cdef double number
    cdef int i
    for i in range(8):
        bits = bits << 8 | big_endian[i]
    memcpy(&number, &bits, 8)
    return number


cdef bint pop(Reader *r) noexcept:
    if r.n_stack <= floor_of(r):
        return False
    cut(r, r.n_stack - 1)
    return True


cdef bint pop_marked(Reader *r) noexcept:
    if not r.n_marks:
        return False
    cut(r, pop_mark(r))
    return True


cdef bint step(Reader *r, uint8_t opcode) except -1:
    """Do what one opcode says; False for one that is unknown, or that cannot be done.

    One chain of constants, which Cython makes a switch.
    """
    cdef uint64_t n = 0
    cdef const char *found = NULL
    if opcode == 0x8C:  # SHORT_BINUNICODE
        return size_of(r, 1, &n) and take(r, n, &found) and push(r, raw_text(found, n, "surrogatepass"))
    elif opcode == 0x94:  # MEMOIZE
        return memoize(r)
    elif opcode == 0x68:  # BINGET
        return size_of(r, 1, &n) and <Py_ssize_t> n < r.n_memo and push_kept(r, r.memo[n])
    elif opcode == 0x28:  # MARK
        return mark(r)
    elif opcode == 0x4B:  # BININT1
        return size_of(r, 1, &n) and push(r, raw_int(<long> n))
    elif opcode == 0x4D:  # BININT2
        return size_of(r, 2, &n) and push(r, raw_int(<long> n))
    elif opcode == 0x4A:  # BININT
        return size_of(r, 4, &n) and push(r, raw_int(<int32_t> <uint32_t> n))
    elif opcode == 0x8A:  # LONG1
        return size_of(r, 1, &n) and take(r, n, &found) and long_of(r, found, n)
    elif opcode == 0x47:  # BINFLOAT
        return take(r, 8, &found) and push(r, raw_float(double_of(<const uint8_t *> found)))
    elif opcode == 0x7D:  # EMPTY_DICT
        return push(r, raw_dict())
    elif opcode == 0x75:  # SETITEMS
        return set_items(r, pop_mark(r))
    elif opcode == 0x73:  # SETITEM
        return r.n_stack >= 3 and set_items(r, r.n_stack - 2)
    elif opcode == 0x5D:  # EMPTY_LIST
        return push(r, raw_list(0))
    elif opcode == 0x65:  # APPENDS
        return add_each(r, pop_mark(r), False)
    elif opcode == 0x61:  # APPEND
        return r.n_stack >= 2 and add_each(r, r.n_stack - 1, False)
    elif opcode == 0x4E:  # NONE
        return push_kept(r, raw_none)
    elif opcode == 0x88:  # NEWTRUE
        return push_kept(r, raw_true)
    elif opcode == 0x89:  # NEWFALSE
        return push_kept(r, raw_false)
    elif opcode == 0x29:  # EMPTY_TUPLE
        return push(r, raw_tuple(0))
    elif opcode == 0x85:  # TUPLE1
        return tuple_of(r, r.n_stack - 1)
    elif opcode == 0x86:  # TUPLE2
        return tuple_of(r, r.n_stack - 2)
    elif opcode == 0x87:  # TUPLE3
        return tuple_of(r, r.n_stack - 3)
    elif opcode == 0x74:  # TUPLE
        return tuple_of(r, pop_mark(r))
    elif opcode == 0x6A:  # LONG_BINGET
        return size_of(r, 4, &n) and <Py_ssize_t> n < r.n_memo and push_kept(r, r.memo[n])
    elif opcode == 0x58:  # BINUNICODE
        return size_of(r, 4, &n) and take(r, n, &found) and push(r, raw_text(found, n, "surrogatepass"))
    elif opcode == 0x8D:  # BINUNICODE8
        return size_of(r, 8, &n) and take(r, n, &found) and push(r, raw_text(found, n, "surrogatepass"))
    elif opcode == 0x43:  # SHORT_BINBYTES
        return size_of(r, 1, &n) and take(r, n, &found) and push(r, raw_bytes(found, n))
    elif opcode == 0x42:  # BINBYTES
        return size_of(r, 4, &n) and take(r, n, &found) and push(r, raw_bytes(found, n))
    elif opcode == 0x8E:  # BINBYTES8
        return size_of(r, 8, &n) and take(r, n, &found) and push(r, raw_bytes(found, n))
    elif opcode == 0x96:  # BYTEARRAY8
        return size_of(r, 8, &n) and take(r, n, &found) and push(r, raw_bytearray(found, n))
    elif opcode == 0x8F:  # EMPTY_SET
        return push(r, raw_set(NULL))
    elif opcode == 0x90:  # ADDITEMS
        return add_each(r, pop_mark(r), True)
    elif opcode == 0x91:  # FROZENSET
        return frozenset_of(r, pop_mark(r))
    elif opcode == 0x30:  # POP
        return pop(r)
    elif opcode == 0x31:  # POP_MARK
        return pop_marked(r)
    elif opcode == 0x95:  # FRAME: its content follows as if it were not framed
        return take(r, 8, &found)
    else:
        return False


cdef object run(Reader *r):
    cdef uint8_t opcode
    cdef uint32_t n_done = 0
    if r.end - r.at < 2 or r.at[0] != 0x80 or not 4 <= r.at[1] <= 5:
        return NotImplemented
    r.at += 2
    while r.at < r.end:
        opcode = r.at[0]
        r.at += 1
        if opcode == b".":
            return <object> r.stack[r.n_stack - 1] if r.n_stack and not r.n_marks else NotImplemented
        if not step(r, opcode):
            break
        n_done += 1
        if r.pauses and n_done % OPCODES_AT_A_TIME == 0:
            pause()
    if r.is_too_deep:
        raise ValueError(f"wanted tuples in one another at most {DEEPEST} deep where they are hashed")
    PyErr_Clear()  # whatever it was, pickle says it better
    return NotImplemented


cdef int pause() except -1:
    """Let go of the GIL for as long as another thread needs to take it."""
    cdef timespec wanted
    wanted.tv_sec, wanted.tv_nsec = 0, PAUSE_NS
    with nogil:
        nanosleep(&wanted, NULL)
    return 0


def load_plain(data not None, bint pauses=False):
    """Return the value of a pickle, `NotImplemented` where it holds more than plain values.

    The bytes may come from anybody: nothing is imported or called, but `__hash__` and `__eq__` of the
    built-in types. Memory is bounded by what pickle itself would take. ValueError where a key or an item
    of a set has tuples so deep in one another that hashing it could overflow the C stack: pickle must not
    be asked either. With `pauses`, which is for a thread beside an event loop, other threads run every
    0.2 ms.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return load(view.buf, view.len, pauses)
    finally:
        PyBuffer_Release(&view)


cdef object load(const void *data, Py_ssize_t n, bint pauses=False):
    """Do the same with bytes that stay where they are meanwhile."""
    cdef Reader r
    r.stack = r.memo = NULL
    r.marks = NULL
    r.is_too_deep = False
    r.n_stack = r.stack_room = r.n_memo = r.memo_room = r.n_marks = r.marks_room = 0
    r.at = <const uint8_t *> data
    r.end = r.at + n
    r.pauses = pauses
    try:
        return run(&r)
    finally:
        cut(&r, 0)
        while r.n_memo:
            r.n_memo -= 1
            raw_drop(r.memo[r.n_memo])
        free(r.stack)
        free(r.memo)
        free(r.marks)
