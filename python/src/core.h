/* SPDX-License-Identifier: MIT */
/* core.h - what the files of the extension share. */
#ifndef SHMKIT_PYTHON_CORE_H
#define SHMKIT_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#include "compat.h"

#include "ndarray.h"
#include "shareable.h"
#include "sync.h"
#include "value.h"

#include <shmkit/shmkit.h>

/* Arguments of SharedMemory(), in the order of the signature. */
enum {
    ARG_NAME,
    ARG_CREATE,
    ARG_SIZE,
    ARG_TRACK,
    ARG_MODE,
    ARG_READ_ONLY,
    ARG_LIFETIME,
    ARG_SPARSE,
    ARG_PREFAULT,
    ARG_EXIST_OK,
    ARG_FLAGS,
    ARG_HUGE,
    ARG_PRIVATE,
    ARG_OFFSET,
    ARG_LENGTH,
    ARG_LOCK,
    ARG_NUMA,
    ARG_ARRAY, /* private: array_spec() made it */
    ARG_COUNT
};
#define ARG_POSITIONAL 3

/* Everything the module knows; one per interpreter. */
typedef struct {
    PyTypeObject *mapping_type;
    PyTypeObject *block_type;
    PyTypeObject *stat_type;
    PyObject *arg_names[ARG_COUNT]; /* interned */
    PyObject *str_flags;            /* "_flags" and so on, interned */
    PyObject *str_mode;
    PyObject *str_track;
    PyObject *str_home;
    PyObject *str_slash; /* "_prepend_leading_slash" */
    PyObject *str_make_filename;
    PyObject *str_close;
    PyObject *zero;
    shareable_state shareable; /* ShareableList: shareable.h */
    sync_state sync;           /* Lock and its kin: sync.h */
    value_state value;         /* Value and Array: value.h */
    array_state array;         /* shmkit.ndarray: ndarray.h */
} core_state;

typedef struct {
    PyObject_HEAD
    shmkit_block *block;
    int kept; /* a direct export came back: see mapping.c */
} MappingObject;

/* What a new block shall hold when its name appears: a list. */
struct list_content {
    const struct shmkit_shareable_item *items;
    size_t count;
    shmkit_shareable_list list; /* where it lies then */
};

typedef struct {
    PyObject_HEAD
    core_state *state;
    PyObject *name;         /* _name: what the standard class keeps there */
    PyObject *met_name;     /* the _name under which `ref` was met */
    PyObject *buf;          /* _buf: the memoryview, made at the first .buf */
    MappingObject *mapping; /* NULL when closed */
    PyObject *retired;      /* list of mappings that stay until dealloc */
    struct shmkit_block_ref ref;
    Py_ssize_t size;
    uint64_t offset; /* of the first byte of a part */
    uint32_t mode;
    int read_only, private_copy, part;
    int fd;                       /* made by fileno(), -1 if none */
    struct list_content *content; /* for __init__(); set by ShareableList */
} BlockObject;

/* What one call of SharedMemory() asks for. */
struct request {
    PyObject *arg[ARG_COUNT]; /* borrowed; NULL = not given */
    int flags;                /* O_CREAT, O_EXCL and the access mode */
    int track;
    size_t size; /* 0 unless something may be created */
    struct shmkit_block_options options;
    struct list_content *content;            /* of a new block; NULL = zeros */
    const struct shmkit_ndarray_spec *array; /* NULL: a plain block */
};

extern struct PyModuleDef core_module;
extern PyType_Spec mapping_spec;
extern PyType_Spec block_spec;
extern PyMethodDef family_methods[];

/* core.c */
core_state *core_state_of_type(PyTypeObject *type);
PyObject *core_raise(int result, PyObject *path);

/* arguments.c: -1 and an exception, or 0. */
int request_parse(core_state *state, PyObject *self, PyObject *args,
                  PyObject *kwargs, struct request *ret_request);
int flag_of(PyObject *object, int fallback);

/* big.c: huge=, private=, offset=, length=, lock= and numa=. */
int request_take_big(struct request *request);
PyObject *block_copy_in(PyObject *op, PyObject *const *args, Py_ssize_t count);
PyObject *block_copy_out(PyObject *op, PyObject *const *args,
                         Py_ssize_t count);

/* mapping.c: takes the handle over, on failure too. */
MappingObject *mapping_new(core_state *state, shmkit_block *block);
int mapping_export_for(MappingObject *mapping, Py_buffer *view, int flags);

/* open.c */
const char *file_name(PyObject *path);
PyObject *open_block(core_state *state, PyObject *self,
                     const struct request *request, shmkit_block **ret);

/* block.c */
int block_let_go(BlockObject *self);
MappingObject *block_pin(BlockObject *self);
int block_ensure_fd(BlockObject *self);
extern PyGetSetDef block_getset[]; /* attributes.c */

/* stat.c */
PyTypeObject *stat_type_new(void);
PyObject *block_stat(PyObject *op, PyObject *ignored);

#endif
