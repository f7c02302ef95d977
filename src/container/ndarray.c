/* SPDX-License-Identifier: MIT */
/* ndarray.c - blocks that say which array they are.
 *
 * In shared memory, from the start of the block to its end:
 *
 *     0            the elements, `data_size` bytes
 *     A            A = data_size rounded up to 64: the description
 *       ndim x u64   shape
 *       ndim x u64   strides, bytes
 *       text         dtype, label, without NULs
 *       zeros        up to a multiple of 64
 *       64 bytes     struct tail, which ends where the block ends
 *
 * The elements are anybody's, as in every block.  The description is written
 * once, by the creator, before the block has a name, and nobody writes it
 * again: so there is no lock, and a kill leaves either no block or a whole
 * one.  A name, an inode and a lifetime serve both, so whatever removes or
 * keeps the block does so with its description.
 *
 * Whoever may write the block may also damage the description.  It is read
 * into private memory first, as one piece of bounded size, then judged there:
 * magic, version, sizes that must add up to the very end of the block, a
 * check over all its bytes, a dtype that parses, a shape and strides whose
 * last element ends at data_size.  What passes can not lead out of the block.
 * Nothing of it is looked at twice in shared memory.
 *
 * A block that was made longer ends elsewhere, so it is an array no more.
 * One that somebody cuts short under us would be SIGBUS: paging the
 * description in first turns that into an error, but for the instant between
 * that and the copy. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/copy.h"
#include "base/hash.h"
#include "block/block.h"
#include "block/name.h"
#include "container/dtype.h"
#include "os/os.h"

#define MAGIC UINT64_C(0x59415252414b4853) /* "SHKARRAY", little-endian */
#define VERSION 1u
#define ALIGNMENT UINT64_C(64)
#define DATA_MAX ((uint64_t)INT64_MAX - 65536)

struct tail {
    uint64_t magic; /* also tells the byte order */
    uint32_t version;
    uint32_t ndim;
    uint64_t data_size;
    uint64_t block_size; /* of the whole file */
    uint32_t dtype_len, label_len;
    uint64_t reserved[2]; /* 0 */
    uint64_t check;       /* over the description, this field being 0 */
};
_Static_assert(sizeof(struct tail) == 64, "part of the layout");
_Static_assert(offsetof(struct tail, check) == 56, "part of the layout");

#define TEXT_MAX (SHMKIT_NDARRAY_DTYPE_SIZE + SHMKIT_NDARRAY_LABEL_SIZE)
#define DESCRIPTION_MAX \
    (2 * 8 * SHMKIT_NDARRAY_DIMS + TEXT_MAX + sizeof(struct tail))
_Static_assert(DESCRIPTION_MAX % 64 == 0, "rounds up to itself");

/* A description in private memory: to be written, at the start of `bytes`;
 * read, at their end. */
struct description {
    union {
        uint64_t words[DESCRIPTION_MAX / 8];
        unsigned char bytes[DESCRIPTION_MAX];
    } u;
    size_t size;
};

static uint64_t
round_up(uint64_t n)
{
    return (n + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static size_t
description_size(uint32_t ndim, size_t text_len)
{
    return (size_t)round_up(16 * (uint64_t)ndim + text_len) +
           sizeof(struct tail);
}

/* ---- shape and strides ---- */

/* Elements, and that all of them could be counted in bytes as well; lengths
 * of 0 do not hide what the others would come to. */
static int
count_items(struct shmkit_ndarray_info *info)
{
    uint64_t bytes = info->item_size > 0 ? info->item_size : 1;
    uint64_t count = 1;

    for (uint32_t i = 0; i < info->ndim; i++) {
        uint64_t n = info->shape[i];

        if (n > 0 && bytes > DATA_MAX / n)
            return -EOVERFLOW;
        bytes *= n > 0 ? n : 1;
        count *= n;
    }
    info->count = count;
    return 0;
}

/* The strides of elements that stand close together. */
static void
stride_closely(const struct shmkit_ndarray_info *info, uint32_t order,
               uint64_t strides[SHMKIT_NDARRAY_DIMS])
{
    uint64_t step = info->item_size;

    for (uint32_t i = 0; i < info->ndim; i++) {
        uint32_t at = order == 'F' ? i : info->ndim - 1 - i;

        strides[at] = step;
        step *= info->shape[at] > 0 ? info->shape[at] : 1;
    }
}

/* Whether the strides are those of `order`, where they matter at all. */
static bool
is_ordered(const struct shmkit_ndarray_info *info, uint32_t order)
{
    uint64_t close[SHMKIT_NDARRAY_DIMS];

    if (info->count == 0)
        return true;
    stride_closely(info, order, close);
    for (uint32_t i = 0; i < info->ndim; i++) {
        if (info->shape[i] > 1 && info->strides[i] != close[i])
            return false;
    }
    return true;
}

/* Where the last element ends. */
static int
measure(struct shmkit_ndarray_info *info)
{
    uint64_t last = 0, step;

    info->data_size = 0;
    if (info->count == 0)
        return 0;
    for (uint32_t i = 0; i < info->ndim; i++) {
        if (__builtin_mul_overflow(info->shape[i] - 1, info->strides[i],
                                   &step) ||
            __builtin_add_overflow(last, step, &last) || last > DATA_MAX)
            return -EOVERFLOW;
    }
    info->data_size = last + info->item_size;
    return info->data_size > DATA_MAX ? -EOVERFLOW : 0;
}

/* The rest of what dtype, shape and strides come to. */
static int
complete(struct shmkit_ndarray_info *info)
{
    int r;

    r = measure(info);
    if (r < 0)
        return r;
    info->order = is_ordered(info, 'C')   ? 'C'
                  : is_ordered(info, 'F') ? 'F'
                                          : 'S';
    return 0;
}

/* ---- from a spec ---- */

static bool
is_label(const char *label)
{
    if (strnlen(label, SHMKIT_NDARRAY_LABEL_SIZE) == SHMKIT_NDARRAY_LABEL_SIZE)
        return false;
    for (; *label != '\0'; label++) {
        if ((unsigned char)*label < ' ' || *label == 0x7f)
            return false;
    }
    return true;
}

static int
check_spec(const struct shmkit_ndarray_spec *spec)
{
    if (spec->struct_size < sizeof *spec || spec->ndim > SHMKIT_NDARRAY_DIMS)
        return -EINVAL;
    if (spec->order != 0 && spec->order != 'C' && spec->order != 'F')
        return -EINVAL;
    if (spec->label != NULL && !is_label(spec->label))
        return -EINVAL;
    return 0;
}

static int
read_dtype(const char *text, struct shmkit_ndarray_info *info)
{
    return shmkit_dtype_canonical(text, info->dtype, sizeof info->dtype,
                                  &info->item_size);
}

static int
read_spec(const struct shmkit_ndarray_spec *spec,
          struct shmkit_ndarray_info *info)
{
    size_t bytes = spec->ndim * sizeof *spec->shape;
    int r;

    r = check_spec(spec);
    if (r < 0)
        return r;
    if (spec->dtype == NULL || (spec->shape == NULL && spec->ndim > 0) ||
        (spec->strides != NULL && spec->order != 0))
        return -EINVAL;
    r = read_dtype(spec->dtype, info);
    if (r < 0)
        return -EINVAL;
    info->ndim = spec->ndim;
    if (bytes > 0)
        memcpy(info->shape, spec->shape, bytes);
    r = count_items(info);
    if (r < 0)
        return r;
    if (spec->strides == NULL)
        stride_closely(info, spec->order, info->strides);
    else if (bytes > 0)
        memcpy(info->strides, spec->strides, bytes);
    if (spec->label != NULL)
        memcpy(info->label, spec->label, strlen(spec->label) + 1);
    return complete(info);
}

/* ---- writing ---- */

static uint64_t
check_of(const uint64_t *words, size_t size)
{
    uint64_t check = MAGIC;

    for (size_t i = 0; i < size / 8 - 1; i++) /* not the check itself */
        check = shmkiti_mix_u64(check ^ words[i]) + i;
    return check;
}

static void
write_description(const struct shmkit_ndarray_info *info,
                  struct description *ret)
{
    size_t dims = 8 * (size_t)info->ndim;
    struct tail tail = {
        .magic = MAGIC,
        .version = VERSION,
        .ndim = info->ndim,
        .data_size = info->data_size,
        .dtype_len = (uint32_t)strlen(info->dtype),
        .label_len = (uint32_t)strlen(info->label),
    };
    unsigned char *at = ret->u.bytes;

    ret->size = description_size(info->ndim, tail.dtype_len + tail.label_len);
    tail.block_size = round_up(info->data_size) + ret->size;
    memset(at, 0, ret->size);
    memcpy(at, info->shape, dims);
    memcpy(at + dims, info->strides, dims);
    memcpy(at + 2 * dims, info->dtype, tail.dtype_len);
    memcpy(at + 2 * dims + tail.dtype_len, info->label, tail.label_len);
    memcpy(at + ret->size - sizeof tail, &tail, sizeof tail);
    tail.check = check_of(ret->u.words, ret->size);
    memcpy(at + ret->size - sizeof tail, &tail, sizeof tail);
}

struct content {
    struct description description;
    const void *data;
    uint64_t data_size;
    bool sparse;
};

/* Page in [from, to): an error where touching it would be a signal. */
static int
page_in(void *base, uint64_t from, uint64_t to, bool writable)
{
    uint64_t page = shmkiti_os_page_size();
    int r;

    from -= from % page;
    r = shmkiti_os_populate((unsigned char *)base + from, (size_t)(to - from),
                            writable);
    return r == -EFAULT || r == -ENOMEM ? r : 0;
}

/* In a block that nobody else sees yet. */
static int
fill(void *base, size_t size, void *arg)
{
    const struct content *content = arg;
    size_t at = size - content->description.size;
    int r = 0;

    /* Nothing is reserved: the pages might not be there to be had. */
    if (content->sparse)
        r = page_in(base, content->data != NULL ? 0 : at, size, true);
    if (r < 0)
        return r == -EFAULT ? -ENOSPC : r;
    if (content->data != NULL)
        shmkiti_copy(base, content->data, (size_t)content->data_size);
    memcpy((unsigned char *)base + at, content->description.u.bytes,
           content->description.size);
    return 0;
}

/* ---- reading ---- */

static void
get_tail(const struct description *description, struct tail *ret)
{
    memcpy(ret, description->u.bytes + DESCRIPTION_MAX - sizeof *ret,
           sizeof *ret);
}

/* The shape, the strides and the texts of a description whose sizes add up. */
static int
read_parts(const struct description *description, const struct tail *tail,
           struct shmkit_ndarray_info *info)
{
    const unsigned char *at =
        description->u.bytes + DESCRIPTION_MAX - description->size;
    size_t dims = 8 * (size_t)tail->ndim;
    char dtype[SHMKIT_NDARRAY_DTYPE_SIZE];

    info->ndim = tail->ndim;
    memcpy(info->shape, at, dims);
    memcpy(info->strides, at + dims, dims);
    memcpy(dtype, at + 2 * dims, tail->dtype_len);
    dtype[tail->dtype_len] = '\0';
    memcpy(info->label, at + 2 * dims + tail->dtype_len, tail->label_len);
    info->label[tail->label_len] = '\0';
    if (strlen(dtype) != tail->dtype_len ||
        strlen(info->label) != tail->label_len || !is_label(info->label) ||
        read_dtype(dtype, info) < 0 || strcmp(dtype, info->dtype) != 0)
        return -EBADMSG;
    return 0;
}

static int
check_tail(struct description *description, const struct tail *tail,
           uint64_t block_size, size_t have)
{
    size_t size;

    if (tail->magic != MAGIC)
        return -EBADMSG;
    if (tail->version != VERSION)
        return -EPROTONOSUPPORT;
    if (tail->ndim > SHMKIT_NDARRAY_DIMS ||
        tail->dtype_len >= SHMKIT_NDARRAY_DTYPE_SIZE ||
        tail->label_len >= SHMKIT_NDARRAY_LABEL_SIZE ||
        tail->data_size > DATA_MAX || tail->block_size != block_size)
        return -EBADMSG;
    size = description_size(tail->ndim,
                            (size_t)tail->dtype_len + tail->label_len);
    if (size > have || round_up(tail->data_size) + size != block_size)
        return -EBADMSG;
    description->size = size;
    if (check_of(description->u.words + (DESCRIPTION_MAX - size) / 8, size) !=
        tail->check)
        return -EBADMSG;
    return 0;
}

/* `have` bytes from the end of a block stand at the end of `description`. */
static int
judge(struct description *description, uint64_t block_size, size_t have,
      struct shmkit_ndarray_info *ret_info)
{
    struct tail tail;
    int r;

    get_tail(description, &tail);
    r = check_tail(description, &tail, block_size, have);
    if (r == 0)
        r = read_parts(description, &tail, ret_info);
    if (r < 0)
        return r;
    if (count_items(ret_info) < 0 || complete(ret_info) < 0 ||
        ret_info->data_size != tail.data_size)
        return -EBADMSG;
    return 0;
}

/* How long a description is by what its tail says, of which nothing is known
 * yet: what is read then is judged anew. */
static size_t
length_from(const struct tail *tail, uint64_t block_size)
{
    uint64_t size = sizeof *tail;

    if (tail->ndim <= SHMKIT_NDARRAY_DIMS &&
        tail->dtype_len < SHMKIT_NDARRAY_DTYPE_SIZE &&
        tail->label_len < SHMKIT_NDARRAY_LABEL_SIZE)
        size = description_size(tail->ndim,
                                (size_t)tail->dtype_len + tail->label_len);
    return (size_t)(size < block_size ? size : block_size);
}

/* The last `len` bytes of a mapped block, at the end of `description`. */
static int
copy_end(const shmkit_block *block, size_t len,
         struct description *description)
{
    size_t at = block->size - len;
    int r;

    r = page_in(block->addr, at, block->size, false);
    if (r < 0)
        return r == -EFAULT ? -EBADMSG : r; /* EFAULT: cut short */
    memcpy(description->u.bytes + DESCRIPTION_MAX - len,
           (const unsigned char *)block->addr + at, len);
    return 0;
}

static int
read_block(const shmkit_block *block, struct shmkit_ndarray_info *ret_info)
{
    struct description description;
    struct tail tail;
    size_t have;
    int r;

    if (block->part || block->size < sizeof tail || block->size % 64 != 0)
        return -EBADMSG;
    r = copy_end(block, sizeof tail, &description);
    if (r < 0)
        return r;
    get_tail(&description, &tail);
    have = length_from(&tail, block->size);
    if (have > sizeof tail)
        r = copy_end(block, have, &description);
    return r < 0 ? r : judge(&description, block->size, have, ret_info);
}

/* The same of a file. */
static int
read_end(int fd, uint64_t size, size_t len, struct description *description)
{
    int r;

    r = shmkiti_os_read(fd, size - len,
                        description->u.bytes + DESCRIPTION_MAX - len, len);
    return r == -EIO ? -EBADMSG : r; /* cut short */
}

static int
read_file(int fd, struct shmkit_ndarray_info *ret_info)
{
    struct description description;
    struct shmkiti_os_stat st;
    struct tail tail;
    size_t have;
    int r;

    r = shmkiti_os_stat(fd, &st);
    if (r < 0)
        return r;
    if (!st.regular)
        return -ENODEV;
    if (st.size == 0)
        return -ENODATA;
    if (st.size < sizeof tail || st.size % 64 != 0)
        return -EBADMSG;
    r = read_end(fd, st.size, sizeof tail, &description);
    if (r < 0)
        return r;
    get_tail(&description, &tail);
    have = length_from(&tail, st.size);
    r = read_end(fd, st.size, have, &description);
    return r < 0 ? r : judge(&description, st.size, have, ret_info);
}

/* ---- public ---- */

int
shmkit_ndarray_get_info(const shmkit_block *block,
                        struct shmkit_ndarray_info *ret_info, size_t info_size)
{
    struct shmkit_ndarray_info info = {0};
    int r;

    if (info_size > sizeof info)
        return -EINVAL; /* the caller is newer than this library */
    r = read_block(block, &info);
    if (r == 0)
        memcpy(ret_info, &info, info_size);
    return r;
}

int
shmkit_ndarray_stat(const char *name, struct shmkit_ndarray_info *ret_info,
                    size_t info_size)
{
    struct shmkit_ndarray_info info = {0};
    char path[SHMKITI_PATH_SIZE];
    int r, fd;

    if (info_size > sizeof info)
        return -EINVAL;
    r = shmkiti_name_check(name);
    if (r < 0)
        return r;
    shmkiti_name_path(name, path);
    shmkiti_guard_enter();
    r = shmkiti_os_open(path, false, &fd);
    if (r == 0) {
        r = read_file(fd, &info);
        (void)shmkiti_os_close(fd);
    }
    shmkiti_guard_leave();
    if (r == 0)
        memcpy(ret_info, &info, info_size);
    return r == -ENXIO ? -ENODEV : r; /* ENXIO: a socket */
}

static bool
has_dtype(const struct shmkit_ndarray_info *info, const char *dtype)
{
    char text[SHMKIT_NDARRAY_DTYPE_SIZE];
    uint64_t item_size;

    return shmkit_dtype_canonical(dtype, text, sizeof text, &item_size) == 0 &&
           strcmp(text, info->dtype) == 0;
}

int
shmkit_ndarray_check(const struct shmkit_ndarray_info *info,
                     const struct shmkit_ndarray_spec *expected)
{
    struct shmkit_ndarray_info ignored = {0};
    size_t bytes = info->ndim * sizeof info->shape[0];

    if (check_spec(expected) < 0 ||
        (expected->dtype != NULL && read_dtype(expected->dtype, &ignored) < 0))
        return -EINVAL;
    if (expected->dtype != NULL && !has_dtype(info, expected->dtype))
        return -EPROTOTYPE;
    if (expected->shape != NULL &&
        (expected->ndim != info->ndim ||
         memcmp(expected->shape, info->shape, bytes) != 0))
        return -EPROTOTYPE;
    if (expected->strides != NULL &&
        (expected->ndim != info->ndim ||
         memcmp(expected->strides, info->strides, bytes) != 0))
        return -EPROTOTYPE;
    if (expected->order != 0 && !is_ordered(info, expected->order))
        return -EPROTOTYPE;
    return 0;
}

/* What is attached must be what was asked for, or it is closed again. */
static int
accept_block(shmkit_block *block, const struct shmkit_ndarray_spec *expected,
             struct shmkit_ndarray_info *info)
{
    int r;

    r = shmkit_ndarray_get_info(block, info, sizeof *info);
    if (r == 0 && expected != NULL)
        r = shmkit_ndarray_check(info, expected);
    if (r < 0)
        shmkit_block_close(block);
    return r;
}

int
shmkit_ndarray_attach(const char *name,
                      const struct shmkit_ndarray_spec *expected,
                      const struct shmkit_block_options *options,
                      shmkit_block **ret_block,
                      struct shmkit_ndarray_info *ret_info)
{
    struct shmkit_ndarray_info info = {0};
    shmkit_block *block;
    int r;

    if (options != NULL && (options->offset != 0 || options->length != 0))
        return -EINVAL;
    r = shmkit_block_attach(name, options, &block);
    if (r == 0)
        r = accept_block(block, expected, &info);
    if (r < 0)
        return r;
    if (ret_info != NULL)
        memcpy(ret_info, &info, sizeof info);
    *ret_block = block;
    return 0;
}

/* What was there must be what would have been made. */
static int
accept_existing(shmkit_block *block, const struct shmkit_ndarray_info *made)
{
    struct shmkit_ndarray_spec expected = SHMKIT_NDARRAY_SPEC_INIT;
    struct shmkit_ndarray_info info = {0};

    expected.dtype = made->dtype;
    expected.shape = made->shape;
    expected.strides = made->strides;
    expected.ndim = made->ndim;
    return accept_block(block, &expected, &info);
}

static int
create(const char *name, const struct shmkit_ndarray_info *info,
       const struct shmkit_block_options *options, struct content *content,
       shmkit_block **ret_block)
{
    shmkit_block *block;
    int r, outcome;

    write_description(info, &content->description);
    content->data_size = info->data_size;
    outcome = shmkiti_create_filled(
        name, (size_t)(round_up(info->data_size) + content->description.size),
        options, fill, content, &block);
    if (outcome < 0)
        return outcome;
    r = outcome == SHMKIT_EXISTED ? accept_existing(block, info) : 0;
    if (r < 0)
        return r;
    *ret_block = block;
    return outcome;
}

int
shmkit_ndarray_create(const char *name, const struct shmkit_ndarray_spec *spec,
                      const struct shmkit_block_options *options,
                      shmkit_block **ret_block)
{
    uint32_t flags = options != NULL ? options->flags : 0;
    struct shmkit_ndarray_info info = {0};
    struct content content = {
        .data = spec->data,
        .sparse = (flags & SHMKIT_SPARSE) != 0,
    };
    int r;

    if ((flags & SHMKIT_READ_ONLY) != 0)
        return -EINVAL; /* nobody could fill it */
    r = read_spec(spec, &info);
    if (r == 0 && spec->data != NULL && spec->data_size != info.data_size)
        r = -EINVAL;
    return r < 0 ? r : create(name, &info, options, &content, ret_block);
}
