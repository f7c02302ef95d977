/* SPDX-License-Identifier: MIT */
/* fuzz_ndarray.c - descriptions of arrays, and dtypes, of any bytes.
 *
 * The first byte says what the rest is: a dtype; a spec to make an array of;
 * the end of a block; or changes to the end of a good one, which then gets a
 * right check again, so that more than the check is tried.  Claim: no crash;
 * what is taken is in canonical form, its elements lie in the block, and it
 * is written and read again as the same. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "fuzz.h"

#define NAME "fuzzed"
#define PATH "/dev/shm/" NAME
#define TAIL 64

static struct shmkit_ndarray_info info;

/* ---- dtypes ---- */

struct seen {
    uint64_t end; /* of the last field of depth 1 */
    uint64_t size;
    unsigned count, open;
};

static int
visit(const struct shmkit_field *field, void *arg)
{
    struct seen *seen = arg;

    seen->count++;
    seen->open += field->kind == '{';
    seen->open -= field->kind == '}';
    if (field->depth == 0)
        seen->size = field->item_size;
    if (field->depth == 1) {
        seen->end = field->offset + field->item_size * field->count;
        FUZZ_CLAIM(field->offset <= seen->end);
    }
    FUZZ_CLAIM(field->depth <= 8 && field->ndim <= SHMKIT_NDARRAY_DIMS);
    return 0;
}

static void
use_dtype(const char *text)
{
    static char first[SHMKIT_NDARRAY_DTYPE_SIZE];
    static char second[SHMKIT_NDARRAY_DTYPE_SIZE];
    struct seen seen = {0};
    uint64_t size = 0, again = 0;

    if (shmkit_dtype_visit(text, visit, &seen) == 0) {
        FUZZ_CLAIM(seen.count > 0 && seen.open == 0);
        FUZZ_CLAIM(seen.end <= seen.size);
    }
    if (shmkit_dtype_canonical(text, first, sizeof first, &size) != 0)
        return;
    FUZZ_CLAIM(size == seen.size);
    FUZZ_CLAIM(shmkit_dtype_canonical(first, second, sizeof second, &again) ==
               0);
    FUZZ_CLAIM(strcmp(first, second) == 0 && size == again);
}

static void
fuzz_dtype(struct fuzz_input *input)
{
    char *text = malloc(input->size + 1); /* its end is watched */

    FUZZ_CLAIM(text != NULL);
    memcpy(text, input->data, input->size);
    text[input->size] = '\0';
    use_dtype(text);
    free(text);
}

/* ---- arrays ---- */

static uint64_t
last_byte(void)
{
    uint64_t end = info.item_size;

    for (uint32_t i = 0; i < info.ndim; i++)
        end += (info.shape[i] - 1) * info.strides[i];
    return end;
}

/* What is said of an array must hold, however it came about. */
static void
check_info(const shmkit_block *block)
{
    struct shmkit_ndarray_spec spec = SHMKIT_NDARRAY_SPEC_INIT;

    FUZZ_CLAIM(info.ndim <= SHMKIT_NDARRAY_DIMS);
    FUZZ_CLAIM(info.data_size <= shmkit_block_size(block));
    if (info.count > 0)
        FUZZ_CLAIM(last_byte() == info.data_size);
    FUZZ_CLAIM(info.order == 'C' || info.order == 'F' || info.order == 'S');
    FUZZ_CLAIM(strlen(info.label) < sizeof info.label);
    use_dtype(info.dtype);
    spec.dtype = info.dtype;
    spec.shape = info.shape;
    spec.strides = info.strides;
    spec.ndim = info.ndim;
    FUZZ_CLAIM(shmkit_ndarray_check(&info, &spec) == 0);
}

static void
meet(void)
{
    static struct shmkit_ndarray_info other;
    shmkit_block *block = NULL;
    int r, stat;

    r = shmkit_ndarray_attach(NAME, NULL, NULL, &block, &info);
    stat = shmkit_ndarray_stat(NAME, &other, sizeof other);
    FUZZ_CLAIM(r == stat);
    if (r < 0) {
        FUZZ_CLAIM(block == NULL);
        return;
    }
    FUZZ_CLAIM(memcmp(&info, &other, sizeof info) == 0);
    check_info(block);
    shmkit_block_close(block);
}

static uint64_t
fuzz_length(struct fuzz_input *input)
{
    uint8_t kind = fuzz_byte(input);

    return kind < 200 ? kind % 9 : (uint64_t)fuzz_u32(input) << kind % 32;
}

/* A spec of any content; what is made of it must be met as it was made. */
static void
fuzz_spec(struct fuzz_input *input, uint32_t flags)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    struct shmkit_ndarray_spec spec = SHMKIT_NDARRAY_SPEC_INIT;
    uint64_t shape[SHMKIT_NDARRAY_DIMS], strides[SHMKIT_NDARRAY_DIMS];
    char dtype[64] = {0}, label[64] = {0};
    shmkit_block *block = NULL;

    spec.ndim = fuzz_byte(input) % (SHMKIT_NDARRAY_DIMS + 1);
    for (uint32_t i = 0; i < spec.ndim; i++) {
        shape[i] = fuzz_length(input);
        strides[i] = fuzz_length(input);
    }
    for (size_t i = 0; i < 20; i++)
        label[i] = (char)fuzz_byte(input);
    for (size_t i = 0; i + 1 < sizeof dtype; i++)
        dtype[i] = (char)fuzz_byte(input);
    spec.dtype = dtype;
    spec.label = label;
    spec.shape = shape;
    spec.strides = flags & 1 ? strides : NULL;
    spec.order = flags & 2 ? 'F' : 0;
    options.flags = flags & 4 ? SHMKIT_SPARSE : 0;
    if (shmkit_ndarray_create(NAME, &spec, &options, &block) < 0) {
        FUZZ_CLAIM(block == NULL);
        return;
    }
    FUZZ_CLAIM(shmkit_ndarray_get_info(block, &info, sizeof info) == 0);
    FUZZ_CLAIM(shmkit_ndarray_check(&info, &spec) == 0);
    shmkit_block_close(block);
    meet();
}

/* The check as the library makes it, over `size` bytes from `start`. */
static void
mend_check(unsigned char *start, size_t size)
{
    uint64_t check, word;

    memcpy(&check, start + size - TAIL, sizeof check); /* the magic */
    for (size_t i = 0; i + 1 < size / 8; i++) {
        memcpy(&word, start + 8 * i, sizeof word);
        check = shmkiti_mix_u64(check ^ word) + i;
    }
    memcpy(start + size - sizeof check, &check, sizeof check);
}

/* Bytes of a good description replaced. */
static void
fuzz_changes(struct fuzz_input *input)
{
    static const uint64_t shape[] = {3, 4};
    struct shmkit_ndarray_spec spec = SHMKIT_NDARRAY_SPEC_INIT;
    unsigned char *data;
    shmkit_block *block;
    size_t size, start;

    spec.dtype = "[('a', '<f8'), ('b', 'V3'), ('c', '<M8[ns]', (2,))]";
    spec.label = "a label";
    spec.shape = shape;
    spec.ndim = 2;
    FUZZ_CLAIM(shmkit_ndarray_create(NAME, &spec, NULL, &block) == 0);
    size = shmkit_block_size(block);
    data = shmkit_block_data(block);
    start = 12 * 27 / 64 * 64 + 64; /* the elements, rounded up */
    while (input->size > 1) {
        size_t at = start + fuzz_byte(input) % (size - start);

        data[at] = fuzz_byte(input);
    }
    mend_check(data + start, size - start);
    shmkit_block_close(block);
    meet();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t kind = fuzz_byte(&input);

    if (kind % 4 == 0) {
        fuzz_dtype(&input);
        return 0;
    }
    fuzz_begin_round();
    if (kind % 4 == 1) {
        fuzz_spec(&input, kind / 4);
    } else if (kind % 4 == 2) {
        fuzz_put(PATH, input.data, input.size, 0600);
        meet();
    } else {
        fuzz_changes(&input);
    }
    fuzz_end_round();
    return 0;
}
