/* SPDX-License-Identifier: MIT */
/* big.c - what SharedMemory offers for big blocks: pages, parts, copies.
 *
 * The arguments go into the options of the library, which decides; here is
 * only said what contradicts itself.  What belongs to a new block (huge, numa)
 * is refused when one is attached, and the other way round (private, offset,
 * length), rather than silently dropped.
 *
 * copy_in() and copy_out() hold the other side's buffer, and the mapping, for
 * as long as they copy without the GIL. */
#include "core.h"

#include <errno.h>
#include <fcntl.h>

#define FREE_GIL_FROM 65536 /* bytes */

static int
refuse(const char *text)
{
    PyErr_SetString(PyExc_ValueError, text);
    return -1;
}

static int
given(const struct request *request, int which)
{
    return request->arg[which] != NULL && request->arg[which] != Py_None;
}

/* None: where the kernel can.  True: or an error.  False: never. */
static int
take_huge(struct request *request)
{
    int huge;

    if (!given(request, ARG_HUGE))
        return 0;
    huge = flag_of(request->arg[ARG_HUGE], 0);
    if (huge < 0)
        return -1;
    if (!(request->flags & O_CREAT))
        return refuse("'huge' is chosen when the block is created");
    if (huge && (request->options.flags & SHMKIT_SPARSE) != 0)
        return refuse("'huge' and 'sparse' exclude each other");
    request->options.flags |= huge ? SHMKIT_HUGE : SHMKIT_NO_HUGE;
    return 0;
}

static int
take_private(struct request *request)
{
    int private_copy = flag_of(request->arg[ARG_PRIVATE], 0);
    int lock = flag_of(request->arg[ARG_LOCK], 0);

    if (private_copy < 0 || lock < 0)
        return -1;
    if (lock)
        request->options.flags |= SHMKIT_LOCKED;
    if (!private_copy)
        return 0;
    if (request->flags & O_CREAT)
        return refuse("'private' is for attaching");
    if ((request->options.flags & SHMKIT_READ_ONLY) != 0)
        return refuse("'private' and 'read_only' exclude each other");
    request->options.flags |= SHMKIT_PRIVATE;
    return 0;
}

static int
take_bytes(struct request *request, int which, uint64_t *ret)
{
    Py_ssize_t value;

    if (!given(request, which))
        return 0;
    value = PyNumber_AsSsize_t(request->arg[which], PyExc_OverflowError);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < 0)
        return refuse("'offset' and 'length' are not negative");
    if (request->flags & O_CREAT)
        return refuse("'offset' and 'length' are for attaching");
    *ret = (uint64_t)value;
    return 0;
}

static int
take_nodes(PyObject *nodes, uint64_t *ret)
{
    PyObject *iterator = PyObject_GetIter(nodes), *item;

    if (iterator == NULL)
        return -1;
    while ((item = PyIter_Next(iterator)) != NULL) {
        long node = PyLong_AsLong(item);

        Py_DECREF(item);
        if (node == -1 && PyErr_Occurred())
            break;
        if (node < 0 || node > 63) {
            (void)refuse("a NUMA node is a number from 0 to 63");
            break;
        }
        *ret |= UINT64_C(1) << node;
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : 0;
}

/* numa=("bind", nodes) or ("interleave", nodes). */
static int
take_numa(struct request *request)
{
    static const char usage[] =
        "'numa' must be ('bind', nodes) or ('interleave', nodes)";
    PyObject *numa = request->arg[ARG_NUMA], *how;

    if (!given(request, ARG_NUMA))
        return 0;
    if (!(request->flags & O_CREAT))
        return refuse("'numa' is chosen when the block is created");
    if (!PyTuple_Check(numa) || PyTuple_GET_SIZE(numa) != 2 ||
        !PyUnicode_Check(PyTuple_GET_ITEM(numa, 0)))
        return refuse(usage);
    how = PyTuple_GET_ITEM(numa, 0);
    if (PyUnicode_CompareWithASCIIString(how, "bind") == 0)
        request->options.placement = SHMKIT_PLACEMENT_BIND;
    else if (PyUnicode_CompareWithASCIIString(how, "interleave") == 0)
        request->options.placement = SHMKIT_PLACEMENT_INTERLEAVE;
    else
        return refuse(usage);
    if (take_nodes(PyTuple_GET_ITEM(numa, 1), &request->options.nodes) < 0)
        return -1;
    return request->options.nodes == 0 ? refuse("'numa' names no node") : 0;
}

int
request_take_big(struct request *request)
{
    if (take_huge(request) < 0 || take_private(request) < 0 ||
        take_bytes(request, ARG_OFFSET, &request->options.offset) < 0 ||
        take_bytes(request, ARG_LENGTH, &request->options.length) < 0)
        return -1;
    return take_numa(request);
}

/* ---- copies ---- */

struct copy {
    MappingObject *mapping;
    Py_buffer other;
    Py_ssize_t offset;
};

static int
begin(PyObject *op, PyObject *const *args, Py_ssize_t count, int flags,
      struct copy *copy)
{
    copy->offset = 0;
    if (count < 1 || count > 2) {
        PyErr_SetString(PyExc_TypeError,
                        "a copy takes a buffer and an offset");
        return -1;
    }
    if (count == 2) {
        copy->offset = PyNumber_AsSsize_t(args[1], PyExc_OverflowError);
        if (copy->offset == -1 && PyErr_Occurred())
            return -1;
    }
    if (copy->offset < 0)
        return refuse("'offset' is not negative");
    if (PyObject_GetBuffer(args[0], &copy->other, flags) < 0)
        return -1;
    copy->mapping = block_pin((BlockObject *)op);
    if (copy->mapping == NULL)
        PyBuffer_Release(&copy->other);
    return copy->mapping == NULL ? -1 : 0;
}

static int
run(struct copy *copy, int in)
{
    shmkit_block *block = copy->mapping->block;
    size_t offset = (size_t)copy->offset, len = (size_t)copy->other.len;

    return in ? shmkit_copy_in(block, offset, copy->other.buf, len)
              : shmkit_copy_out(block, offset, copy->other.buf, len);
}

static PyObject *
finish(struct copy *copy, int in)
{
    int r;

    if (copy->other.len >= FREE_GIL_FROM) {
        Py_BEGIN_ALLOW_THREADS
        r = run(copy, in);
        Py_END_ALLOW_THREADS
    } else {
        r = run(copy, in);
    }
    PyBuffer_Release(&copy->other);
    Py_DECREF(copy->mapping);
    if (r == -EACCES)
        PyErr_SetString(PyExc_TypeError, "the block is mapped read-only");
    else if (r < 0)
        PyErr_SetString(PyExc_ValueError,
                        "the bytes do not lie within the block");
    if (r < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *
block_copy_in(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    struct copy copy;

    if (begin(op, args, count, PyBUF_SIMPLE, &copy) < 0)
        return NULL;
    return finish(&copy, 1);
}

PyObject *
block_copy_out(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    struct copy copy;

    if (begin(op, args, count, PyBUF_WRITABLE, &copy) < 0)
        return NULL;
    return finish(&copy, 0);
}
