/* SPDX-License-Identifier: MIT */
/* typed_array.c - one program writes an array, another reads it by name.
 *
 *     typed_array write; typed_array read      (without a word: both)
 * Either may be typed_array.py instead: the array itself says what it is. */
#include <shmkit/shmkit.h>
#include <stdio.h>

#define DTYPE "[('id', '<i8'), ('xyz', '<f4', (3,)), ('', '|V4')]"
static struct atom {
    int64_t id;
    float xyz[3]; /* 4 bytes of padding follow: the '|V4' */
} atoms[2] = {{7, {0, 1, 2}}, {8, {3, 4, 5}}};

static int
write_array(struct shmkit_ndarray_spec spec, const uint64_t shape[1])
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block = NULL;
    int r;

    spec.shape = shape;
    spec.ndim = 1;
    spec.data = atoms;
    spec.data_size = sizeof atoms;
    options.lifetime = SHMKIT_LIFETIME_PERSISTENT; /* until it was read */
    r = shmkit_ndarray_create("atoms", &spec, &options, &block);
    shmkit_block_close(block);
    return r;
}

static int
read_array(const struct shmkit_ndarray_spec *expected)
{
    struct shmkit_ndarray_info info;
    shmkit_block *block;
    int r = shmkit_ndarray_attach("atoms", expected, NULL, &block, &info);

    if (r < 0)
        return r; /* -EPROTOTYPE: it is of another dtype */
    for (const struct atom *a = shmkit_block_data(block); info.count--; a++)
        printf("%d: %g %g %g\n", (int)a->id, a->xyz[0], a->xyz[1], a->xyz[2]);
    shmkit_block_close(block);
    return shmkit_block_unlink("atoms", NULL);
}

int
main(int argc, char **argv)
{
    struct shmkit_ndarray_spec spec = SHMKIT_NDARRAY_SPEC_INIT;
    int r = 0;

    spec.dtype = DTYPE;
    if (argc < 2 || argv[1][0] == 'w')
        r = write_array(spec, (const uint64_t[1]){2});
    if (r == 0 && (argc < 2 || argv[1][0] == 'r'))
        r = read_array(&spec);
    return r < 0;
}
