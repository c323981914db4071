/* How an awaitable hands over its value without an exception that costs more than the await.
 *
 * Python 3.11 asks am_send, which returns the value. From 3.12 on SEND calls tp_iternext of whatever
 * is no generator, and takes the value out of the StopIteration that this raises. Making and dropping
 * one of those costs more than all the rest of the await. Here it is of a subclass whose dead are kept for
 * the next use: the value leaves with the exception's last reference, as ever, so that nothing
 * outlives the await.
 */
#ifndef RAUDO_STOP_H
#define RAUDO_STOP_H

#include <Python.h>

#define raudo_set_am_send(type, fn) ((type)->tp_as_async->am_send = (sendfunc)(fn))
#define raudo_set_vectorcall(type, fn) ((type)->tp_vectorcall = (vectorcallfunc)(fn))

#if PY_VERSION_HEX >= 0x030C0000

#define RAUDO_SPARE_STOPS 8 /* as many as tasks that one await wakes in a row; more are made anew */

static PyObject *raudo_spare_stops[RAUDO_SPARE_STOPS];
static int raudo_n_spare_stops;

/* Nothing but the value is there when nobody but the interpreter has seen the exception. */
static inline int raudo_is_untouched(const PyStopIterationObject *stop) {
    return stop->dict == NULL && stop->notes == NULL && stop->traceback == NULL &&
           stop->context == NULL && stop->cause == NULL;
}

static void raudo_drop_stop(PyObject *self) {
    PyStopIterationObject *stop = (PyStopIterationObject *)self;
    PyObject_GC_UnTrack(self);
    Py_CLEAR(stop->value);
    if (!raudo_is_untouched(stop)) ((PyTypeObject *)PyExc_StopIteration)->tp_clear(self);
    Py_CLEAR(stop->args);
    stop->suppress_context = 0;
    if (raudo_n_spare_stops < RAUDO_SPARE_STOPS) {
        raudo_spare_stops[raudo_n_spare_stops++] = self;
    } else {
        PyObject_GC_Del(self);
    }
}

static PyTypeObject raudo_stop_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "raudo._core.ready.StopIteration",
    .tp_doc = "The end of a Ready, with its value.",
    .tp_basicsize = sizeof(PyStopIterationObject),
    .tp_flags = Py_TPFLAGS_DEFAULT, /* and the base's: collected */
    .tp_dealloc = raudo_drop_stop,
};

static PyObject *raudo_no_arguments;

/* tp_iternext's end: raise StopIteration(value). */
static void raudo_stop_with(PyObject *value) {
    PyObject *self;
    if (raudo_n_spare_stops > 0) {
        self = raudo_spare_stops[--raudo_n_spare_stops];
        _Py_NewReference(self);
        PyObject_GC_Track(self);
    } else {
        self = raudo_stop_type.tp_alloc(&raudo_stop_type, 0);
        if (self == NULL) return;
    }
    PyStopIterationObject *stop = (PyStopIterationObject *)self;
    /* Left empty, as only a tracer gets to see this exception: 10 ns. */
    stop->args = Py_NewRef(raudo_no_arguments);
    stop->value = Py_NewRef(value);
    PyErr_SetRaisedException(self);
}

/* 0, or -1 with an exception set. */
static int raudo_use_iternext(PyTypeObject *type, iternextfunc fn) {
    raudo_stop_type.tp_base = (PyTypeObject *)PyExc_StopIteration;
    raudo_no_arguments = PyTuple_New(0);
    if (raudo_no_arguments == NULL || PyType_Ready(&raudo_stop_type) < 0) return -1;
    type->tp_iternext = fn;
    return 0;
}

#else /* am_send is asked instead */

static void raudo_stop_with(PyObject *value) { (void)value; }
static int raudo_use_iternext(PyTypeObject *type, iternextfunc fn) {
    (void)type;
    (void)fn;
    return 0;
}

#endif
#endif
