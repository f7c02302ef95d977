/* SPDX-License-Identifier: MIT */
/* ndarray.h - typed arrays in blocks, which know themselves.
 *
 * An array is a block: its elements stand from offset 0, aligned to 64 bytes
 * and more, and behind them stands a description: dtype, shape, strides and a
 * label.  So its name alone is enough to use it, from C and from Python, and
 * any POSIX program still attaches the bare bytes.  All that block.h says of
 * lifetimes, names, unlink and close holds for arrays; shmkit_block_close()
 * closes one, shmkit_block_data() is its first element.
 *
 * The description is written before the block has its name and never changes:
 * nobody meets an array without one.  It ends where the block ends, so
 * shmkit_block_grow() makes a plain block of an array; handles and views that
 * were there before stay good.
 *
 * A dtype is a string in NumPy's form, native byte order where none is given:
 *     "<f8" "|u1" ">i4" "<M8[ns]" "|S16" "<U8" "|V3"   kind, bytes (U: four)
 *     "[('id', '<i8'), ('xyz', '<f4', (3,))]"          a structure
 * The fields of a structure stand close together; unnamed '|Vn' fields are the
 * gaps between them.  Structures nest, 8 deep, and have 256 fields in all.
 * Objects ('O') are refused: a pointer means nothing to another process.
 *
 * Threads and processes: as block.h says.  Nothing here guards the elements
 * against two who write at once. */
#ifndef SHMKIT_NDARRAY_H
#define SHMKIT_NDARRAY_H

#include <shmkit/api.h>
#include <shmkit/block.h>

SHMKIT_BEGIN

#define SHMKIT_NDARRAY_DIMS 32         /* most dimensions */
#define SHMKIT_NDARRAY_DTYPE_SIZE 4096 /* longest dtype and its NUL, bytes */
#define SHMKIT_NDARRAY_LABEL_SIZE 256  /* longest label and its NUL, bytes */

/* What to make, or what is expected to be there. */
struct shmkit_ndarray_spec {
    size_t struct_size;    /* sizeof(struct shmkit_ndarray_spec) */
    const char *dtype;     /* NULL: expect any */
    const char *label;     /* for people, no control characters; may be NULL */
    const uint64_t *shape; /* ndim of them; NULL: expect any, ndim ignored */
    const uint64_t *strides; /* bytes; NULL: close together, as `order` says */
    const void *data; /* elements to begin with, laid out alike; NULL: zeros */
    uint64_t data_size; /* bytes at `data`: all that the elements take */
    uint32_t ndim;      /* 0 to SHMKIT_NDARRAY_DIMS; 0 is one element */
    uint32_t order;     /* 'C' last index fastest, 'F' first, 0 = 'C' or any */
};
#define SHMKIT_NDARRAY_SPEC_INIT                                             \
    {                                                                        \
        sizeof(struct shmkit_ndarray_spec), NULL, NULL, NULL, NULL, NULL, 0, \
            0, 0                                                             \
    }

/* What an array says of itself, checked: every element lies in the block. */
struct shmkit_ndarray_info {
    uint64_t data_size; /* bytes from the first element to the last's end */
    uint64_t count;     /* elements */
    uint64_t item_size; /* bytes of one */
    uint64_t shape[SHMKIT_NDARRAY_DIMS];
    uint64_t strides[SHMKIT_NDARRAY_DIMS]; /* bytes */
    uint32_t ndim;
    uint32_t order; /* 'C', 'F', or 'S': neither, see the strides */
    char dtype[SHMKIT_NDARRAY_DTYPE_SIZE]; /* in canonical form */
    char label[SHMKIT_NDARRAY_LABEL_SIZE];
};

/* Make a block that is the array of `spec`, filled from its `data` before
 * anybody can see it.  NULL name and NULL options as for shmkit_block_create,
 * and its results.  SHMKIT_EXISTED: with SHMKIT_EXIST_OK, an array like `spec`
 * was there and is attached, its elements as they are; -EPROTOTYPE: what is
 * there is another array; -EBADMSG: it is none.  -EINVAL: a dtype, shape,
 * label or data_size that is no good, strides and an order besides, or
 * SHMKIT_READ_ONLY. -EOVERFLOW: too large to count.  About 14 us. */
SHMKIT_API SHMKIT_CHECK int shmkit_ndarray_create(
    const char *name, const struct shmkit_ndarray_spec *spec,
    const struct shmkit_block_options *options, shmkit_block **ret_block);

/* Attach array `name`; `ret_info` may be NULL.  With `expected`, only if its
 * dtype, shape, strides and order are those given there: else -EPROTOTYPE.
 * -EBADMSG: the block is no array (not made as one, grown since, damaged);
 * -EPROTONOSUPPORT: made by another version; -EINVAL: a part is asked for, or
 * `expected` is no good; else as shmkit_block_attach.  Costs an attach,
 * the fault of its last page and about 1 us. */
SHMKIT_API SHMKIT_CHECK int shmkit_ndarray_attach(
    const char *name, const struct shmkit_ndarray_spec *expected,
    const struct shmkit_block_options *options, shmkit_block **ret_block,
    struct shmkit_ndarray_info *ret_info);

/* What an attached block says of itself.  -EBADMSG, -EPROTONOSUPPORT as above.
 * About 1 us: keep what it tells.  Does not block. */
SHMKIT_API SHMKIT_CHECK int shmkit_ndarray_get_info(
    const shmkit_block *block, struct shmkit_ndarray_info *ret_info,
    size_t info_size);

/* The same by name, without attaching: neither holds nor sweeps anything.
 * -EBADMSG, -EPROTONOSUPPORT, or as shmkit_block_attach.  About 5 us. */
SHMKIT_API SHMKIT_CHECK int shmkit_ndarray_stat(
    const char *name, struct shmkit_ndarray_info *ret_info, size_t info_size);

/* Whether `info` is what `expected` asks for: 0, -EPROTOTYPE or -EINVAL. */
SHMKIT_API SHMKIT_CHECK int shmkit_ndarray_check(
    const struct shmkit_ndarray_info *info,
    const struct shmkit_ndarray_spec *expected);

/* ---- dtypes ---- */

/* One field of a structure, or the element itself. */
struct shmkit_field {
    const char *name; /* not terminated; NULL for the element itself */
    const char *type; /* "<f8", not terminated; NULL for a structure */
    size_t name_len, type_len;
    uint64_t offset;    /* bytes from the start of the element */
    uint64_t item_size; /* bytes of one value */
    uint64_t count;     /* values side by side: the product of `shape` */
    uint64_t shape[SHMKIT_NDARRAY_DIMS];
    uint32_t ndim;  /* 0: one value */
    uint32_t depth; /* 0: the element itself */
    char kind;      /* NumPy's letter; '{' opens a structure, '}' closes it */
    char order;     /* '<', '>', or '|' where there is none */
};

/* Visit what a dtype consists of, in the order of the bytes: the element
 * first; a structure is visited twice, before and after its fields.  A visit
 * that returns non-zero ends the walk, which returns it.  Names and types
 * point into `dtype`, as they stand there: no terminator, escapes kept.
 * -EINVAL: no dtype. */
SHMKIT_API SHMKIT_CHECK int shmkit_dtype_visit(
    const char *dtype,
    int (*visit)(const struct shmkit_field *field, void *arg), void *arg);

/* The one way to write a dtype: those of equal types are equal strings.
 * *ret_item_size is the bytes of an element.  -EINVAL: no dtype; -ERANGE: it
 * does not fit. */
SHMKIT_API SHMKIT_CHECK int shmkit_dtype_canonical(const char *dtype,
                                                   char *ret_text, size_t size,
                                                   uint64_t *ret_item_size);

SHMKIT_END

#endif
