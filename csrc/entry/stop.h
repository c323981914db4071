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

/* Give one of the dead its life back. The interpreter's own way is a call, which matters to debug builds. */
#ifdef Py_REF_DEBUG
#define raudo_revive(object) _Py_NewReference(object)
#else
#define raudo_revive(object) Py_SET_REFCNT(object, 1)
#endif

/* As the class in ready.pyx has it. */
typedef struct {
    PyObject_HEAD
    PyObject *value;
    int is_awaited;   /* by the interpreter, which alone sees how it ends */
    int is_untracked; /* surely: the collector knows nothing of it */
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
        raudo_revive((PyObject *)self);
    } else {
        self = PyObject_GC_New(raudo_ready, raudo_ready_type);
        if (self == NULL) {
            Py_DECREF(value);
            return NULL;
        }
    }
    self->value = value;
    self->is_awaited = 0;
    self->is_untracked = !PyType_IS_GC(Py_TYPE(value));
    if (!self->is_untracked) PyObject_GC_Track(self);
    return (PyObject *)self;
}

static void raudo_drop_ready(PyObject *object) {
    raudo_ready *self = (raudo_ready *)object;
    if (!self->is_untracked) PyObject_GC_UnTrack(object);
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

typedef struct {
    PyStopIterationObject base;
    int is_untracked;
} raudo_stop;

/* Those kept have no arguments: an empty tuple, as only a tracer gets to see one of these (10 ns). */
static raudo_stop *raudo_spare_stops[RAUDO_SPARE_STOPS];
static int raudo_n_spare_stops;
static PyObject *raudo_no_arguments;

/* Nothing but the value is there when nobody but the interpreter has seen the exception. */
static inline int raudo_is_untouched(const PyStopIterationObject *stop) {
    return stop->dict == NULL && stop->notes == NULL && stop->traceback == NULL &&
           stop->context == NULL && stop->cause == NULL && stop->args == raudo_no_arguments;
}

static void raudo_drop_stop(PyObject *object) {
    raudo_stop *self = (raudo_stop *)object;
    if (!self->is_untracked) PyObject_GC_UnTrack(object);
    Py_CLEAR(self->base.value);
    if (!raudo_is_untouched(&self->base)) {
        ((PyTypeObject *)PyExc_StopIteration)->tp_clear(object);
        self->base.args = Py_NewRef(raudo_no_arguments);
    }
    self->base.suppress_context = 0;
    if (raudo_n_spare_stops < RAUDO_SPARE_STOPS) {
        raudo_spare_stops[raudo_n_spare_stops++] = self;
    } else {
        Py_DECREF(self->base.args);
        PyObject_GC_Del(self);
    }
}

static PyTypeObject raudo_stop_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "raudo._core.ready.StopIteration",
    .tp_doc = "The end of a Ready, with its value.",
    .tp_basicsize = sizeof(raudo_stop),
    .tp_flags = Py_TPFLAGS_DEFAULT, /* and the base's: collected */
    .tp_dealloc = raudo_drop_stop,
};

/* tp_iternext: raise StopIteration(value). */
static PyObject *raudo_next(PyObject *object) {
    const raudo_ready *ready = (raudo_ready *)object;
    if (ready->value == Py_None) return NULL; /* the end without an exception means None */
    raudo_stop *self;
    if (raudo_n_spare_stops > 0) {
        self = raudo_spare_stops[--raudo_n_spare_stops];
        raudo_revive((PyObject *)self);
    } else {
        self = (raudo_stop *)raudo_stop_type.tp_alloc(&raudo_stop_type, 0);
        if (self == NULL) return NULL;
        PyObject_GC_UnTrack(self);
        self->base.args = Py_NewRef(raudo_no_arguments);
    }
    self->base.value = Py_NewRef(ready->value);
    self->is_untracked = ready->is_awaited;
    if (!self->is_untracked) PyObject_GC_Track(self);
    PyErr_SetRaisedException((PyObject *)self);
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
