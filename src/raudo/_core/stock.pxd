from raudo._core.pool cimport ObjectPool

cdef object FULL  # stands for the object that could not be lent

cdef object try_acquire(ObjectPool pool)
cdef object release_slowly(ObjectPool pool, object obj)
cdef object exhausted(ObjectPool pool)
