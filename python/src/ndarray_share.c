/* SPDX-License-Identifier: MIT */
/* ndarray_share.c - arrays for others: DLPack and the Arrow C data interface.
 *
 * Both hand out plain C structures in capsules.  Each structure holds a
 * reference to the Layout, and through it the mapping, until its consumer
 * calls the deleter it finds inside; the consumer may be a library that knows
 * nothing of Python, so the deleter takes the GIL itself.  A capsule that
 * nobody has taken calls it when it dies.  When the interpreter is gone, there
 * is nothing left to give back.
 *
 * The structures are those of DLPack 1.0 (and, unversioned, of those before)
 * and of Arrow's C data interface; their fields are fixed by these. */
#include "core.h"

#include <string.h>

static void
release_layout(void *layout)
{
    PyGILState_STATE gil;

    if (!Py_IsInitialized())
        return;
    gil = PyGILState_Ensure();
    Py_DECREF((PyObject *)layout);
    PyGILState_Release(gil);
}

/* ---- DLPack ---- */

enum { DL_CPU = 1, DL_READ_ONLY = 1 };
enum { DL_INT = 0, DL_UINT = 1, DL_FLOAT = 2, DL_COMPLEX = 5, DL_BOOL = 6 };

typedef struct {
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides; /* strides in elements */
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *self);
} dl_managed;

typedef struct dl_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct dl_versioned *self);
    uint64_t flags;
    dl_tensor tensor;
} dl_versioned;

/* One allocation: either form, and the tables it points to. */
struct dl_package {
    union {
        dl_managed plain;
        dl_versioned versioned;
    } form; /* first: what the consumer gets */
    PyObject *layout;
    int64_t shape[SHMKIT_NDARRAY_DIMS], strides[SHMKIT_NDARRAY_DIMS];
};

static void
dl_free(struct dl_package *package)
{
    PyObject *layout = package->layout;

    free(package);
    release_layout(layout);
}

static void
dl_delete(dl_managed *self)
{
    dl_free(self->context);
}

static void
dl_delete_versioned(dl_versioned *self)
{
    dl_free(self->context);
}

/* A consumer has renamed what it took. */
static void
dl_destroy(PyObject *capsule)
{
    dl_managed *managed;

    if (!PyCapsule_IsValid(capsule, "dltensor"))
        return;
    managed = PyCapsule_GetPointer(capsule, "dltensor");
    managed->deleter(managed);
}

static void
dl_destroy_versioned(PyObject *capsule)
{
    dl_versioned *managed;

    if (!PyCapsule_IsValid(capsule, "dltensor_versioned"))
        return;
    managed = PyCapsule_GetPointer(capsule, "dltensor_versioned");
    managed->deleter(managed);
}

static int
refuse_buffer(const char *why)
{
    PyErr_SetString(PyExc_BufferError, why);
    return -1;
}

/* The element itself: its kind, order and size. */
static int
note_top(const struct shmkit_field *field, void *arg)
{
    *(struct shmkit_field *)arg = *field;
    return 1;
}

static int
top_of(const LayoutObject *self, struct shmkit_field *ret)
{
    char native = PY_BIG_ENDIAN ? '>' : '<';

    if (shmkit_dtype_visit(self->info->dtype, note_top, ret) != 1)
        return refuse_buffer("the array has no dtype");
    if (ret->order != '|' && ret->order != native)
        return refuse_buffer("the numbers are not in native byte order");
    return 0;
}

static int
dl_type(const struct shmkit_field *field, dl_tensor *tensor)
{
    static const struct {
        char kind;
        uint8_t code, largest;
    } codes[] = {{'i', DL_INT, 8},
                 {'u', DL_UINT, 8},
                 {'f', DL_FLOAT, 8},
                 {'c', DL_COMPLEX, 16},
                 {'b', DL_BOOL, 1}};
    size_t i;

    for (i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].kind == field->kind &&
            field->item_size <= codes[i].largest) {
            tensor->code = codes[i].code;
            tensor->bits = (uint8_t)(8 * field->item_size);
            tensor->lanes = 1;
            return 0;
        }
    }
    return refuse_buffer("DLPack has no such type: numbers and bool only");
}

static int
dl_fill(const LayoutObject *self, struct dl_package *package,
        dl_tensor *tensor)
{
    const struct shmkit_ndarray_info *info = self->info;
    struct shmkit_field field;
    uint32_t i;

    if (top_of(self, &field) < 0 || dl_type(&field, tensor) < 0)
        return -1;
    for (i = 0; i < info->ndim; i++) {
        if (info->strides[i] % info->item_size != 0)
            return refuse_buffer("the strides are no multiples of an element");
        package->shape[i] = (int64_t)info->shape[i];
        package->strides[i] = (int64_t)(info->strides[i] / info->item_size);
    }
    tensor->data = self->data;
    tensor->device_type = DL_CPU;
    tensor->ndim = (int32_t)info->ndim;
    tensor->shape = package->shape;
    tensor->strides = package->strides;
    return 0;
}

static PyObject *
dl_plain(LayoutObject *self, struct dl_package *package)
{
    dl_managed *managed = &package->form.plain;

    if (self->read_only) {
        (void)refuse_buffer(
            "the array is read-only, which only DLPack 1.0 "
            "(max_version) can tell");
        return NULL;
    }
    if (dl_fill(self, package, &managed->tensor) < 0)
        return NULL;
    managed->context = package;
    managed->deleter = dl_delete;
    return PyCapsule_New(managed, "dltensor", dl_destroy);
}

static PyObject *
dl_with_version(LayoutObject *self, struct dl_package *package)
{
    dl_versioned *managed = &package->form.versioned;

    if (dl_fill(self, package, &managed->tensor) < 0)
        return NULL;
    managed->major = 1;
    managed->context = package;
    managed->deleter = dl_delete_versioned;
    managed->flags = self->read_only ? DL_READ_ONLY : 0;
    return PyCapsule_New(managed, "dltensor_versioned", dl_destroy_versioned);
}

PyObject *
layout_dlpack(PyObject *op, PyObject *versioned)
{
    LayoutObject *self = (LayoutObject *)op;
    struct dl_package *package;
    PyObject *capsule;
    int with_version = PyObject_IsTrue(versioned);

    if (with_version < 0)
        return NULL;
    package = calloc(1, sizeof *package);
    if (package == NULL)
        return PyErr_NoMemory();
    capsule = with_version ? dl_with_version(self, package)
                           : dl_plain(self, package);
    if (capsule == NULL)
        free(package);
    else
        package->layout = Py_NewRef(op);
    return capsule;
}

/* ---- Arrow ---- */

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *self);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *self);
    void *private_data;
};

struct arrow_hold {
    PyObject *layout;
    const void *buffers[2]; /* which are null: none; the values */
};

/* The format is static text: nothing to give back but the mark. */
static void
arrow_schema_release(struct ArrowSchema *self)
{
    self->release = NULL;
}

static void
arrow_array_release(struct ArrowArray *self)
{
    struct arrow_hold *hold = self->private_data;
    PyObject *layout = hold->layout;

    self->release = NULL;
    free(hold);
    release_layout(layout);
}

static void
arrow_schema_destroy(PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");

    if (schema->release != NULL)
        schema->release(schema);
    free(schema);
}

static void
arrow_array_destroy(PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");

    if (array->release != NULL)
        array->release(array);
    free(array);
}

/* Arrow's letter; NULL and an exception. */
static const char *
arrow_format(const LayoutObject *self)
{
    static const char *const signed_formats[] = {"c", "s", "i", "l"};
    static const char *const unsigned_formats[] = {"C", "S", "I", "L"};
    static const char *const float_formats[] = {NULL, "e", "f", "g"};
    struct shmkit_field field;
    unsigned power = 0;

    if (top_of(self, &field) < 0)
        return NULL;
    while (field.item_size > UINT64_C(1) << power && power < 4)
        power++;
    if (power < 4 && field.kind == 'i')
        return signed_formats[power];
    if (power < 4 && field.kind == 'u')
        return unsigned_formats[power];
    if (power < 4 && field.kind == 'f')
        return float_formats[power];
    (void)refuse_buffer(
        "Arrow lays out this type in another way: integers "
        "and floats only");
    return NULL;
}

static PyObject *
arrow_schema_new(const char *format)
{
    struct ArrowSchema *schema = calloc(1, sizeof *schema);
    PyObject *capsule;

    if (schema == NULL)
        return PyErr_NoMemory();
    schema->format = format;
    schema->name = "";
    schema->release = arrow_schema_release;
    capsule = PyCapsule_New(schema, "arrow_schema", arrow_schema_destroy);
    if (capsule == NULL)
        free(schema);
    return capsule;
}

static PyObject *
arrow_array_new(LayoutObject *self)
{
    struct ArrowArray *array = calloc(1, sizeof *array);
    struct arrow_hold *hold = calloc(1, sizeof *hold);
    PyObject *capsule = NULL;

    if (array != NULL && hold != NULL)
        capsule = PyCapsule_New(array, "arrow_array", arrow_array_destroy);
    else
        PyErr_NoMemory();
    if (capsule == NULL) {
        free(array);
        free(hold);
        return NULL;
    }
    hold->layout = Py_NewRef((PyObject *)self);
    hold->buffers[1] = self->data;
    array->length = (int64_t)self->info->count;
    array->n_buffers = 2;
    array->buffers = hold->buffers;
    array->release = arrow_array_release;
    array->private_data = hold;
    return capsule;
}

PyObject *
layout_arrow(PyObject *op, PyObject *ignored)
{
    LayoutObject *self = (LayoutObject *)op;
    PyObject *schema, *array;
    const char *format;

    (void)ignored;
    if (self->info->ndim != 1 || !self->c_contiguous) {
        (void)refuse_buffer("an Arrow array has one dimension and no gaps");
        return NULL;
    }
    format = arrow_format(self);
    if (format == NULL)
        return NULL;
    schema = arrow_schema_new(format);
    array = schema == NULL ? NULL : arrow_array_new(self);
    if (array == NULL) {
        Py_XDECREF(schema);
        return NULL;
    }
    return Py_BuildValue("(NN)", schema, array);
}
