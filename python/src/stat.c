/* SPDX-License-Identifier: MIT */
/* stat.c - SharedMemory.stat(): what the system knows about a block.
 *
 * The library answers by name.  A handle means one certain block, so the
 * inode of a descriptor opened through the handle, which refuses a namesake,
 * is compared with the answer. */
#include "core.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static PyStructSequence_Field fields[] = {
    {"name", "name of the file in /dev/shm"},
    {"size", "bytes"},
    {"resident", "bytes of memory it takes now"},
    {"inode", "inode number"},
    {"device", "device number"},
    {"family", "id of its family, 16 hex digits, or None"},
    {"birth", "seconds since 1970, or None"},
    {"mode", "permission bits"},
    {"uid", "owner"},
    {"gid", "group"},
    {"lifetime", "'family', 'holders' or 'persistent'"},
    {"state", "'live', 'orphan', 'idle' or 'foreign'"},
    {"huge", "bytes of this mapping on 2 MiB pages now, or None"},
    {NULL, NULL},
};

static PyStructSequence_Desc desc = {
    .name = "shmkit._core.BlockStat",
    .doc = "What the system knows about a block.",
    .fields = fields,
    .n_in_sequence = 13,
};

PyTypeObject *
stat_type_new(void)
{
    return PyStructSequence_NewType(&desc);
}

static PyObject *
word(const char *const *words, uint32_t count, uint32_t index)
{
    return PyUnicode_FromString(index < count ? words[index] : "unknown");
}

static PyObject *
family_word(uint64_t family)
{
    char text[SHMKIT_FAMILY_ID_SIZE];

    if (family == 0)
        return Py_NewRef(Py_None);
    PyOS_snprintf(text, sizeof text, "%016llx", (unsigned long long)family);
    return PyUnicode_FromString(text);
}

static PyObject *
build(core_state *state, const struct shmkit_block_stat *stat,
      const uint64_t *huge)
{
    static const char *const lifetimes[] = {"family", "holders", "persistent"};
    static const char *const states[] = {"live", "orphan", "idle", "foreign"};
    PyObject *result = PyStructSequence_New(state->stat_type), *item;
    int i = 0;

    if (result == NULL)
        return NULL;
#define PUT(value)                                   \
    do {                                             \
        item = (value);                              \
        if (item == NULL)                            \
            goto fail;                               \
        PyStructSequence_SetItem(result, i++, item); \
    } while (0)
    PUT(PyUnicode_DecodeFSDefault(stat->name));
    PUT(PyLong_FromUnsignedLongLong(stat->size));
    PUT(PyLong_FromUnsignedLongLong(stat->resident));
    PUT(PyLong_FromUnsignedLongLong(stat->inode));
    PUT(PyLong_FromUnsignedLongLong(stat->device));
    PUT(family_word(stat->family));
    PUT(stat->birth != 0 ? PyLong_FromLongLong(stat->birth)
                         : Py_NewRef(Py_None));
    PUT(PyLong_FromUnsignedLong(stat->mode));
    PUT(PyLong_FromUnsignedLong(stat->uid));
    PUT(PyLong_FromUnsignedLong(stat->gid));
    PUT(word(lifetimes, 3, stat->lifetime));
    PUT(word(states, 4, stat->state));
    PUT(huge != NULL ? PyLong_FromUnsignedLongLong(*huge)
                     : Py_NewRef(Py_None));
#undef PUT
    return result;
fail:
    Py_DECREF(result);
    return NULL;
}

/* By name, and only if it is still this block. */
static int
ask(const shmkit_block *block, struct shmkit_block_stat *ret)
{
    struct stat st;
    int fd, r;

    r = shmkit_block_open_fd(block, &fd);
    if (r < 0)
        return r;
    r = fstat(fd, &st) < 0 ? -errno : 0;
    close(fd);
    if (r < 0)
        return r;
    r = shmkit_block_stat(shmkit_block_name(block), ret, sizeof *ret);
    if (r == -ENOENT || (r >= 0 && ret->inode != st.st_ino))
        r = -ESTALE;
    return r;
}

PyObject *
block_stat(PyObject *op, PyObject *ignored)
{
    BlockObject *self = (BlockObject *)op;
    MappingObject *mapping = self->mapping;
    struct shmkit_block_stat stat;
    uint64_t huge = 0;
    int r, told = 0;

    (void)ignored;
    if (mapping == NULL) {
        PyErr_SetString(PyExc_ValueError,
                        "operation on a closed SharedMemory");
        return NULL;
    }
    Py_INCREF(mapping);
    Py_BEGIN_ALLOW_THREADS
    r = ask(mapping->block, &stat);
    if (r >= 0)
        told = shmkit_block_get_huge(mapping->block, &huge) == 0;
    Py_END_ALLOW_THREADS
    Py_DECREF(mapping);
    if (r < 0)
        return core_raise(r, self->name);
    return build(self->state, &stat, told ? &huge : NULL);
}
