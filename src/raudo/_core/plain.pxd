cdef object load(const void *data, Py_ssize_t n, bint pauses=*)
