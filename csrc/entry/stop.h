/* How an awaitable that is done hands over its value, without an exception that costs more than the await.
 *
 * Python 3.11 asks am_send, which returns the value. From 3.12 on SEND calls tp_iternext of whatever
 * is no generator, and takes the value out of the StopIteration that this raises. Making and dropping
 * one of those costs more than all the rest of the await. Here it is of a subclass whose dead are kept for
 * the next use: the value leaves with the exception's last reference, as ever, so that nothing
 * outlives the await.
 *
 * The collector is told of an awaitable only where its value could lead back to it, and of an exception only
 * where somebody but `await` asked for it: telling it of both takes a sixth of an await.
 */
#ifndef RAUDO_STOP_H
#define RAUDO_STOP_H

#include <Python.h>

/* As the class in ready.pyx has it. */
typedef struct {
    PyObject_HEAD
    PyObject *value;
    int is_awaited; /* by the interpreter, which alone sees how it ends */
} raudo_ready;

#define RAUDO_SPARE_READY 32 /* as many as tasks hold at a time; more are made anew */

static PyTypeObject *raudo_ready_type;
static raudo_ready *raudo_spare_ready[RAUDO_SPARE_READY];
static int raudo_n_spare_ready;

/* A new awaitable, which takes over the reference to the value; NULL with an exception set. */
static PyObject *raudo_ready_with(PyObject *value) {
    raudo_ready *self;
    if (raudo_n_spare_ready > 0) {
        self = raudo_spare_ready[--raudo_n_spare_ready];
        _Py_NewReference((PyObject *)self);
    } else {
        self = PyObject_GC_New(raudo_ready, raudo_ready_type);
        if (self == NULL) {
            Py_DECREF(value);
            return NULL;
        }
    }
    self->value = value;
    self->is_awaited = 0;
    if (PyType_IS_GC(Py_TYPE(value))) PyObject_GC_Track(self);
    return (PyObject *)self;
}

static void raudo_drop_ready(PyObject *object) {
    raudo_ready *self = (raudo_ready *)object;
    PyObject_GC_UnTrack(object); /* whether it is or not */
    Py_CLEAR(self->value);
    if (raudo_n_spare_ready < RAUDO_SPARE_READY) {
        raudo_spare_ready[raudo_n_spare_ready++] = self;
    } else {
        PyObject_GC_Del(object);
    }
}

static PyObject *raudo_await(PyObject *self) {
    ((raudo_ready *)self)->is_awaited = 1;
    return Py_NewRef(self);
}

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
    PyObject_GC_UnTrack(self); /* whether it is or not */
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

/* tp_iternext: raise StopIteration(value). */
static PyObject *raudo_next(PyObject *object) {
    const raudo_ready *ready = (raudo_ready *)object;
    if (ready->value == Py_None) return NULL; /* the end without an exception means None */
    PyObject *self;
    if (raudo_n_spare_stops > 0) {
        self = raudo_spare_stops[--raudo_n_spare_stops];
        _Py_NewReference(self);
    } else {
        self = raudo_stop_type.tp_alloc(&raudo_stop_type, 0);
        if (self == NULL) return NULL;
        PyObject_GC_UnTrack(self);
    }
    PyStopIterationObject *stop = (PyStopIterationObject *)self;
    /* Left empty, as only a tracer gets to see this exception: 10 ns. */
    stop->args = Py_NewRef(raudo_no_arguments);
    stop->value = Py_NewRef(ready->value);
    if (!ready->is_awaited) PyObject_GC_Track(self);
    PyErr_SetRaisedException(self);
    return NULL;
}

/* 0, or -1 with an exception set. */
static int raudo_use_next(PyTypeObject *type) {
    raudo_stop_type.tp_base = (PyTypeObject *)PyExc_StopIteration;
    raudo_no_arguments = PyTuple_New(0);
    if (raudo_no_arguments == NULL || PyType_Ready(&raudo_stop_type) < 0) return -1;
    type->tp_iternext = raudo_next;
    return 0;
}

#else

static PySendResult raudo_send(PyObject *self, PyObject *argument, PyObject **result) {
    (void)argument;
    *result = Py_NewRef(((raudo_ready *)self)->value);
    return PYGEN_RETURN;
}

static int raudo_use_next(PyTypeObject *type) {
    type->tp_as_async->am_send = raudo_send;
    return 0;
}

#endif

/* Have the interpreter make, await and drop the class so. 0, or -1 with an exception set. */
static int raudo_use_ready(PyTypeObject *type, void *call) {
    if (type->tp_basicsize != sizeof(raudo_ready)) {
        PyErr_SetString(PyExc_SystemError, "Ready is not laid out as entry/stop.h has it");
        return -1;
    }
    raudo_ready_type = type;
    type->tp_vectorcall = (vectorcallfunc)call;
    type->tp_dealloc = raudo_drop_ready;
    type->tp_as_async->am_await = raudo_await;
    return raudo_use_next(type);
}

#endif
