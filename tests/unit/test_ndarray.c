/* SPDX-License-Identifier: MIT */
/* test_ndarray.c - arrays that know themselves: dtypes, shapes and strides
 * there and back, what is refused, and descriptions that were damaged, moved,
 * or never written. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#define MIB ((size_t)1 << 20)

static struct shmkit_ndarray_info info;

/* ---- dtypes ---- */

struct dtype_case {
    const char *given, *canonical; /* NULL: refused */
    uint64_t item_size;
};

static const struct dtype_case dtype_cases[] = {
    {"<f8", "<f8", 8},
    {"f8", "<f8", 8},
    {"=f4", "<f4", 4},
    {"|i4", "<i4", 4},
    {">u2", ">u2", 2},
    {"<u1", "|u1", 1},
    {"|b1", "|b1", 1},
    {"<f2", "<f2", 2},
    {"<f16", "<f16", 16},
    {">c16", ">c16", 16},
    {" S5 ", "|S5", 5},
    {"S0", "|S0", 0},
    {"U1", "<U1", 4},
    {"V7", "|V7", 7},
    {"M8[ns]", "<M8[ns]", 8},
    {">m8[25s]", ">m8[25s]", 8},
    {"M8", "<M8", 8},
    {"[('a','f8')]", "[('a', '<f8')]", 8},
    {"[(\"a\", \"<i4\",), ('b', '<f4', 3),]",
     "[('a', '<i4'), ('b', '<f4', (3,))]", 16},
    {"[('a', '<i4', (2, 3)), ('', 'V4'), ('', 'V2')]",
     "[('a', '<i4', (2, 3)), ('', '|V4'), ('', '|V2')]", 30},
    {"[('p', [('x', '<f8'), ('y', '>f8')], (2,)), ('t', 'u1')]",
     "[('p', [('x', '<f8'), ('y', '>f8')], (2,)), ('t', '|u1')]", 33},
    {"[(\"it's\", 'i1')]", "[(\"it's\", '|i1')]", 1},
    {"[('a\\'', 'i1')]", "[('a\\'', '|i1')]", 1},
    {"[('n', '<i4', (0,))]", "[('n', '<i4', (0,))]", 0},
    {"[('n', '<i4', ())]", "[('n', '<i4')]", 4},
    {"S2147483647", "|S2147483647", 2147483647},
    {"[('\xc3\xa4', '<f8')]", "[('\xc3\xa4', '<f8')]", 8},
    {"", NULL, 0},
    {"O", NULL, 0},
    {"|O8", NULL, 0},
    {"[('a', '|O')]", NULL, 0},
    {"f", NULL, 0},
    {"f3", NULL, 0},
    {"i16", NULL, 0},
    {"b2", NULL, 0},
    {"M4[s]", NULL, 0},
    {"M8[x]", NULL, 0},
    {"M8[0s]", NULL, 0},
    {"M8[ns", NULL, 0},
    {"f8[ns]", NULL, 0},
    {"<<f8", NULL, 0},
    {"f8 x", NULL, 0},
    {"float64", NULL, 0},
    {"S2147483648", NULL, 0},
    {"U536870912", NULL, 0},
    {"S99999999999999999999", NULL, 0},
    {"V-1", NULL, 0},
    {"[]", NULL, 0},
    {"[('a', 'f8')", NULL, 0},
    {"[('a', 'f8'", NULL, 0},
    {"[('a', 'f8)]", NULL, 0},
    {"[('a', 'M8[s]", NULL, 0},
    {"[('a', 'f8\")]", NULL, 0},
    {"[('a' 'f8')]", NULL, 0},
    {"[('a', 'f8')('b', 'f8')]", NULL, 0},
    {"[('a', 'f8'), ('a', 'f4')]", NULL, 0},
    {"[('', 'f8')]", NULL, 0},
    {"[('a\n', 'f8')]", NULL, 0},
    {"[('a\\", NULL, 0},
    {"[(('title', 'a'), 'f8')]", NULL, 0},
    {"[('a', 'f8', (2 3))]", NULL, 0},
    {"[('a', 'f8', (-1,))]", NULL, 0},
    {"[('a', 'f8', (2,)]", NULL, 0},
    {"[('a', 'f8', (65536, 65536))]", NULL, 0},
    {"[('a', 'S2147483647'), ('b', 'i1')]", NULL, 0},
    {"[('a', 'f8')] ,", NULL, 0},
};

static void
test_dtypes_have_one_canonical_form(void)
{
    char text[SHMKIT_NDARRAY_DTYPE_SIZE], again[SHMKIT_NDARRAY_DTYPE_SIZE];
    char *exact;
    uint64_t size;
    int r;

    for (size_t i = 0; i < sizeof dtype_cases / sizeof dtype_cases[0]; i++) {
        const struct dtype_case *c = &dtype_cases[i];

        size = 12345;
        exact = strdup(c->given); /* a sanitizer watches its end */
        T_CHECK(exact != NULL);
        r = shmkit_dtype_canonical(exact, text, sizeof text, &size);
        free(exact);
        if (c->canonical == NULL) {
            if (r != -EINVAL)
                printf("taken: %s\n", c->given);
            T_CHECK_EQ(r, -EINVAL);
            T_CHECK_EQ(size, 12345);
            continue;
        }
        T_CHECK_EQ(r, 0);
        T_CHECK_STR(text, c->canonical);
        T_CHECK_EQ(size, c->item_size);
        T_CHECK_EQ(shmkit_dtype_canonical(text, again, sizeof again, &size),
                   0);
        T_CHECK_STR(again, text);
    }
}

static void
test_dtypes_are_bounded(void)
{
    char text[SHMKIT_NDARRAY_DTYPE_SIZE + 10], out[8] = "before";
    uint64_t size = 0;
    size_t len = 0;

    memset(text, ' ', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    T_CHECK_EQ(shmkit_dtype_canonical(text, out, sizeof out, &size), -EINVAL);
    memcpy(text, "[('abcdef', 'f8')]", 19);
    T_CHECK_EQ(shmkit_dtype_canonical(text, out, sizeof out, &size), -ERANGE);
    T_CHECK_STR(out, "before");
    for (int depth = 1; depth < 20; depth++) { /* '[' 8 deep and no deeper */
        len = 0;
        for (int i = 0; i < depth; i++)
            len += (size_t)sprintf(text + len, "[('a', ");
        len += (size_t)sprintf(text + len, "'f8'");
        for (int i = 0; i < depth; i++)
            len += (size_t)sprintf(text + len, ")]");
        T_CHECK_EQ(shmkit_dtype_canonical(text, text, sizeof text, &size),
                   depth <= 8 ? 0 : -EINVAL);
    }
    for (int fields = 254; fields < 258; fields++) { /* and the whole: 256 */
        len = (size_t)sprintf(text, "[");
        for (int i = 0; i < fields; i++)
            len += (size_t)sprintf(text + len, "('%d','i1'),", i);
        (void)sprintf(text + len, "]");
        T_CHECK_EQ(shmkit_dtype_canonical(text, text, sizeof text, &size),
                   fields <= 255 ? 0 : -EINVAL);
    }
}

static int
print_field(const struct shmkit_field *field, void *arg)
{
    char **at = arg;

    *at += sprintf(*at, "%c%.*s@%u+%ux%u ", field->kind, (int)field->name_len,
                   field->name ? field->name : "", (unsigned)field->offset,
                   (unsigned)field->item_size, (unsigned)field->count);
    for (uint32_t i = 0; i < field->ndim; i++)
        *at += sprintf(*at, "[%u]", (unsigned)field->shape[i]);
    return field->name_len == 4 ? 77 : 0;
}

static void
test_fields_are_visited_in_order(void)
{
    char text[400], *at = text;

    T_CHECK_EQ(
        shmkit_dtype_visit("[('a', 'i1'), ('b', [('c', '>f8', (2, 3)), ('d', "
                           "[('e', 'U2')])], 2), ('f', 'M8[s]')]",
                           print_field, &at),
        0);
    T_CHECK_STR(text,
                "{@0+121x1 ia@0+1x1 {b@1+56x2 [2]fc@1+8x6 [2][3]{d@49+8x1 "
                "Ue@49+8x1 }d@49+8x1 }b@1+56x2 [2]Mf@113+8x1 }@0+121x1 ");
    at = text;
    T_CHECK_EQ(
        shmkit_dtype_visit("[('stop', 'i1'), ('x', 'i1')]", print_field, &at),
        77);
    T_CHECK_EQ(shmkit_dtype_visit("[('a', 'i1'", print_field, &at), -EINVAL);
}

/* ---- there and back ---- */

static struct shmkit_ndarray_spec
spec_of(const char *dtype, uint32_t ndim, const uint64_t *shape,
        uint32_t order)
{
    struct shmkit_ndarray_spec spec = SHMKIT_NDARRAY_SPEC_INIT;

    spec.dtype = dtype;
    spec.ndim = ndim;
    spec.shape = shape;
    spec.order = order;
    return spec;
}

static shmkit_block *
make(const char *name, const struct shmkit_ndarray_spec *spec)
{
    shmkit_block *block = NULL;

    T_CHECK_EQ(shmkit_ndarray_create(name, spec, NULL, &block), 0);
    return block;
}

static void
drop(shmkit_block *block)
{
    T_CHECK_EQ(shmkit_block_unlink(shmkit_block_name(block), NULL), 0);
    shmkit_block_close(block);
}

static void
attach_info(const char *name)
{
    struct shmkit_ndarray_info other;
    shmkit_block *block = NULL;

    T_CHECK_EQ(shmkit_ndarray_attach(name, NULL, NULL, &block, &info), 0);
    T_CHECK_EQ(shmkit_ndarray_get_info(block, &other, sizeof other), 0);
    T_CHECK(memcmp(&info, &other, sizeof info) == 0);
    T_CHECK_EQ(shmkit_ndarray_stat(name, &other, sizeof other), 0);
    T_CHECK(memcmp(&info, &other, sizeof info) == 0);
    shmkit_block_close(block);
}

static void
test_the_name_alone_is_enough(void)
{
    static const uint64_t shape[] = {3, 4, 5};
    struct shmkit_ndarray_spec spec = spec_of("f8", 3, shape, 0);
    shmkit_block *block;

    spec.label = "the label";
    block = make("named", &spec);
    attach_info("named");
    T_CHECK_STR(info.dtype, "<f8");
    T_CHECK_STR(info.label, "the label");
    T_CHECK_EQ(info.ndim, 3);
    T_CHECK(memcmp(info.shape, shape, sizeof shape) == 0);
    T_CHECK_EQ(info.strides[0], 160);
    T_CHECK_EQ(info.strides[1], 40);
    T_CHECK_EQ(info.strides[2], 8);
    T_CHECK_EQ(info.order, 'C');
    T_CHECK_EQ(info.count, 60);
    T_CHECK_EQ(info.item_size, 8);
    T_CHECK_EQ(info.data_size, 480);
    T_CHECK_EQ((uintptr_t)shmkit_block_data(block) % 64, 0);
    drop(block);
}

static void
test_fortran_order_and_strides(void)
{
    static const uint64_t shape[] = {3, 4}, strides[] = {100, 8};
    struct shmkit_ndarray_spec spec = spec_of("f8", 2, shape, 'F');
    shmkit_block *block = make("order", &spec);

    attach_info("order");
    T_CHECK_EQ(info.order, 'F');
    T_CHECK_EQ(info.strides[0], 8);
    T_CHECK_EQ(info.strides[1], 24);
    drop(block);
    spec.order = 0;
    spec.strides = strides;
    block = make("order", &spec);
    attach_info("order");
    T_CHECK_EQ(info.order, 'S');
    T_CHECK(memcmp(info.strides, strides, sizeof strides) == 0);
    T_CHECK_EQ(info.data_size, 2 * 100 + 3 * 8 + 8);
    drop(block);
}

static void
test_every_number_of_dimensions(void)
{
    uint64_t shape[SHMKIT_NDARRAY_DIMS];
    shmkit_block *block = NULL;

    for (uint32_t ndim = 0; ndim <= SHMKIT_NDARRAY_DIMS; ndim++) {
        struct shmkit_ndarray_spec spec = spec_of("<i2", ndim, shape, 'C');

        for (uint32_t i = 0; i < ndim; i++)
            shape[i] = i % 8 == 0 ? 2 : 1;
        block = make("dims", &spec);
        attach_info("dims");
        T_CHECK_EQ(info.ndim, ndim);
        T_CHECK(memcmp(info.shape, shape, ndim * sizeof *shape) == 0);
        T_CHECK_EQ(info.data_size, 2u << (ndim + 7) / 8);
        drop(block);
        spec.ndim = SHMKIT_NDARRAY_DIMS + 1;
        T_CHECK_EQ(shmkit_ndarray_create(NULL, &spec, NULL, &block), -EINVAL);
    }
}

static void
test_nothing_is_an_array_too(void)
{
    static const uint64_t none[] = {3, 0, 5}, many[] = {7};
    struct shmkit_ndarray_spec spec = spec_of("<f8", 3, none, 0);
    shmkit_block *block = make("nothing", &spec);

    attach_info("nothing");
    T_CHECK_EQ(info.count, 0);
    T_CHECK_EQ(info.data_size, 0);
    T_CHECK_EQ(info.shape[2], 5);
    drop(block);
    spec = spec_of("S0", 1, many, 0);
    block = make("nothing", &spec);
    attach_info("nothing");
    T_CHECK_EQ(info.count, 7);
    T_CHECK_EQ(info.data_size, 0);
    drop(block);
}

/* Any POSIX program sees the elements from the first byte on. */
static void
test_bytes_from_offset_0(void)
{
    static const uint64_t shape[] = {1000};
    uint32_t numbers[1000], *seen;
    struct shmkit_ndarray_spec spec = spec_of("<u4", 1, shape, 0);
    shmkit_block *block;
    int fd;

    for (uint32_t i = 0; i < 1000; i++)
        numbers[i] = i * i;
    spec.data = numbers;
    spec.data_size = sizeof numbers;
    block = make("bytes", &spec);
    fd = T_SYS(open("/dev/shm/bytes", O_RDONLY | O_CLOEXEC));
    seen = mmap(NULL, sizeof numbers, PROT_READ, MAP_SHARED, fd, 0);
    T_CHECK(seen != MAP_FAILED);
    T_CHECK(memcmp(seen, numbers, sizeof numbers) == 0);
    T_SYS(munmap(seen, sizeof numbers));
    T_SYS(close(fd));
    drop(block);
}

static void
test_big_arrays_with_content(void)
{
    uint64_t count = 5 * MIB / 8 + 3;
    struct shmkit_ndarray_spec spec = spec_of("<u8", 1, &count, 0);
    uint64_t *numbers = malloc(count * sizeof *numbers);
    shmkit_block *block, *other = NULL;

    T_CHECK(numbers != NULL);
    for (uint64_t i = 0; i < count; i++)
        numbers[i] = i * i;
    spec.data = numbers;
    spec.data_size = count * sizeof *numbers;
    block = make("content", &spec);
    T_CHECK_EQ(shmkit_ndarray_attach("content", &spec, NULL, &other, NULL), 0);
    T_CHECK(memcmp(shmkit_block_data(other), numbers, count * 8) == 0);
    free(numbers);
    shmkit_block_close(other);
    drop(block);
}

/* ---- refused ---- */

static void
refuse(const struct shmkit_ndarray_spec *spec, uint32_t flags, int want)
{
    struct shmkit_block_options options = unit_options(flags, 0);
    shmkit_block *block = NULL;

    T_CHECK_EQ(shmkit_ndarray_create("refused", spec, &options, &block), want);
    T_CHECK(block == NULL);
    T_CHECK(!unit_exists("refused"));
}

static void
test_specs_that_are_no_good(void)
{
    static const uint64_t two[] = {3, 4}, strides[] = {32, 8};
    static const uint64_t huge[] = {UINT64_C(1) << 32, UINT64_C(1) << 32};
    static const uint64_t hidden[] = {0, UINT64_MAX}, far[] = {UINT64_MAX, 8};
    struct shmkit_ndarray_spec good = spec_of("<f8", 2, two, 0), spec = good;
    char label[SHMKIT_NDARRAY_LABEL_SIZE + 1];

    refuse(&good, SHMKIT_READ_ONLY, -EINVAL);
    refuse(&good, SHMKIT_PRIVATE, -EINVAL);
    spec.struct_size--;
    refuse(&spec, 0, -EINVAL);
    spec = spec_of(NULL, 2, two, 0);
    refuse(&spec, 0, -EINVAL);
    spec = spec_of("|O", 2, two, 0);
    refuse(&spec, 0, -EINVAL);
    spec = spec_of("<f8", 2, NULL, 0);
    refuse(&spec, 0, -EINVAL);
    spec = spec_of("<f8", 2, two, 'A');
    refuse(&spec, 0, -EINVAL);
    spec = spec_of("<f8", 2, two, 'C');
    spec.strides = strides;
    refuse(&spec, 0, -EINVAL);
    spec = spec_of("<f8", 2, huge, 0);
    refuse(&spec, 0, -EOVERFLOW);
    spec = spec_of("<f8", 2, hidden, 0);
    refuse(&spec, 0, -EOVERFLOW);
    spec = good;
    spec.strides = far;
    refuse(&spec, 0, -EOVERFLOW);
    spec = good;
    spec.data = strides;
    spec.data_size = 95;
    refuse(&spec, 0, -EINVAL);
    spec = good;
    spec.label = "two\nlines";
    refuse(&spec, 0, -EINVAL);
    memset(label, 'x', sizeof label);
    label[SHMKIT_NDARRAY_LABEL_SIZE] = '\0';
    spec.label = label;
    refuse(&spec, 0, -EINVAL);
    label[SHMKIT_NDARRAY_LABEL_SIZE - 1] = '\0';
    drop(make("label", &spec));
}

static void
expect(const char *name, const struct shmkit_ndarray_spec *spec, int want)
{
    shmkit_block *block = NULL;

    T_CHECK_EQ(shmkit_ndarray_attach(name, spec, NULL, &block, NULL), want);
    T_CHECK_EQ(block == NULL, want < 0);
    shmkit_block_close(block);
}

static void
test_what_is_expected_is_checked(void)
{
    static const uint64_t shape[] = {3, 4}, other[] = {4, 3};
    static const uint64_t strides[] = {8, 24};
    struct shmkit_ndarray_spec spec = spec_of("<f8", 2, shape, 0);
    shmkit_block *block = make("expected", &spec);

    expect("expected", &spec, 0);
    spec = spec_of(" f8", 0, NULL, 0);
    expect("expected", &spec, 0);
    spec = spec_of(NULL, 2, shape, 'C');
    expect("expected", &spec, 0);
    spec = spec_of(NULL, 2, shape, 'F');
    expect("expected", &spec, -EPROTOTYPE);
    spec = spec_of("<f4", 0, NULL, 0);
    expect("expected", &spec, -EPROTOTYPE);
    spec = spec_of(">f8", 0, NULL, 0);
    expect("expected", &spec, -EPROTOTYPE);
    spec = spec_of("<f8", 2, other, 0);
    expect("expected", &spec, -EPROTOTYPE);
    spec = spec_of("<f8", 1, shape, 0);
    expect("expected", &spec, -EPROTOTYPE);
    spec = spec_of("<f8", 2, shape, 0);
    spec.strides = strides;
    expect("expected", &spec, -EPROTOTYPE);
    spec = spec_of("nonsense", 0, NULL, 0);
    expect("expected", &spec, -EINVAL);
    spec.struct_size = 0;
    expect("expected", &spec, -EINVAL);
    drop(block);
}

static void
test_exist_ok_takes_only_its_like(void)
{
    static const uint64_t shape[] = {10}, other[] = {11};
    struct shmkit_block_options options = unit_options(SHMKIT_EXIST_OK, 0);
    struct shmkit_ndarray_spec spec = spec_of("<i4", 1, shape, 0);
    uint32_t sevens[10] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
    shmkit_block *block = NULL, *second = NULL, *third = NULL;

    T_CHECK_EQ(shmkit_ndarray_create("twice", &spec, &options, &block), 0);
    spec.data = sevens;
    spec.data_size = sizeof sevens;
    T_CHECK_EQ(shmkit_ndarray_create("twice", &spec, NULL, &third), -EEXIST);
    T_CHECK_EQ(shmkit_ndarray_create("twice", &spec, &options, &second),
               SHMKIT_EXISTED);
    T_CHECK_EQ(*(uint32_t *)shmkit_block_data(second), 0);
    shmkit_block_close(second);
    spec = spec_of("<f4", 1, shape, 0);
    T_CHECK_EQ(shmkit_ndarray_create("twice", &spec, &options, &third),
               -EPROTOTYPE);
    spec = spec_of("<i4", 1, other, 0);
    T_CHECK_EQ(shmkit_ndarray_create("twice", &spec, &options, &third),
               -EPROTOTYPE);
    T_CHECK(third == NULL);
    drop(block);
    block = unit_create("twice", 40, 0, SHMKIT_LIFETIME_FAMILY);
    T_CHECK_EQ(shmkit_ndarray_create("twice", &spec, &options, &third),
               -EBADMSG);
    drop(block);
}

/* ---- no description, or a damaged one ---- */

static void
expect_none(const char *name, int want)
{
    struct shmkit_ndarray_info untouched = {.ndim = 77};
    shmkit_block *block = NULL;

    T_CHECK_EQ(shmkit_ndarray_attach(name, NULL, NULL, &block, &untouched),
               want);
    T_CHECK(block == NULL);
    T_CHECK_EQ(shmkit_ndarray_stat(name, &untouched, sizeof untouched), want);
    T_CHECK_EQ(untouched.ndim, 77);
}

static void
test_plain_blocks_are_no_arrays(void)
{
    static const size_t sizes[] = {1, 63, 64, 65, 4096, 5000, 100000, 3000000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        shmkit_block *block =
            unit_create("plain", sizes[i], 0, SHMKIT_LIFETIME_FAMILY);

        expect_none("plain", -EBADMSG);
        memset(shmkit_block_data(block), 0xff, sizes[i]);
        expect_none("plain", -EBADMSG);
        drop(block);
    }
    expect_none("absent", -ENOENT);
    expect_none("a/b", -EINVAL);
    unit_plant("empty", 0, 0600);
    expect_none("empty", -ENODATA);
    T_SYS(unlink("/dev/shm/empty"));
    T_SYS(mkfifo("/dev/shm/fifo", 0600));
    expect_none("fifo", -ENODEV);
    T_SYS(unlink("/dev/shm/fifo"));
}

/* Every bit of it matters. */
static void
test_a_damaged_description_is_an_error(void)
{
    static const uint64_t shape[] = {3, 4};
    struct shmkit_ndarray_spec spec = spec_of("[('x', '<f8')]", 2, shape, 0);
    shmkit_block *block;
    unsigned char *data;
    int r;

    spec.label = "label";
    block = make("damaged", &spec);
    data = shmkit_block_data(block);
    T_CHECK_EQ(shmkit_block_size(block) - 128, 128);
    for (size_t bit = 128 * 8; bit < shmkit_block_size(block) * 8; bit++) {
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        r = shmkit_ndarray_get_info(block, &info, sizeof info);
        T_CHECK(r == -EBADMSG || r == -EPROTONOSUPPORT);
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    T_CHECK_EQ(shmkit_ndarray_get_info(block, &info, sizeof info), 0);
    memset(data, 0xff, 96); /* the elements are anybody's */
    T_CHECK_EQ(shmkit_ndarray_get_info(block, &info, sizeof info), 0);
    drop(block);
}

static void
test_another_version_says_so(void)
{
    static const uint64_t shape[] = {8};
    struct shmkit_ndarray_spec spec = spec_of("<f8", 1, shape, 0);
    shmkit_block *block = make("version", &spec);
    unsigned char *end =
        (unsigned char *)shmkit_block_data(block) + shmkit_block_size(block);

    end[-64 + 8] = 2;
    expect_none("version", -EPROTONOSUPPORT);
    drop(block);
}

/* Longer, shorter, a part: the description is not where it should be, and
 * what was told before stays good. */
static void
test_a_block_of_another_size_is_no_array(void)
{
    static const uint64_t shape[] = {1000};
    struct shmkit_block_options part = unit_options(0, 0);
    struct shmkit_ndarray_spec spec = spec_of("<f8", 1, shape, 0);
    shmkit_block *block = make("size", &spec), *other = NULL;
    size_t size = shmkit_block_size(block);

    part.offset = 64;
    T_CHECK_EQ(shmkit_ndarray_attach("size", NULL, &part, &other, NULL),
               -EINVAL);
    T_CHECK_EQ(shmkit_block_attach("size", &part, &other), 0);
    T_CHECK_EQ(shmkit_ndarray_get_info(other, &info, sizeof info), -EBADMSG);
    shmkit_block_close(other);
    T_CHECK_EQ(shmkit_block_grow(block, size + 4096, &other), 0);
    T_CHECK_EQ(shmkit_ndarray_get_info(other, &info, sizeof info), -EBADMSG);
    expect_none("size", -EBADMSG);
    T_CHECK_EQ(shmkit_ndarray_get_info(block, &info, sizeof info), 0);
    shmkit_block_close(other);
    T_SYS(truncate("/dev/shm/size", (off_t)(size - 64)));
    expect_none("size", -EBADMSG);
    T_SYS(truncate("/dev/shm/size", 64));
    expect_none("size", -EBADMSG);
    T_CHECK_EQ(shmkit_ndarray_get_info(block, &info, sizeof info), -EBADMSG);
    drop(block);
}

/* Of the mapping no page is touched that could not be had. */
static void
test_sparse_arrays_without_room(void)
{
    uint64_t shape = 512 * MIB;
    struct shmkit_block_options options = unit_options(SHMKIT_SPARSE, 0);
    struct shmkit_ndarray_spec spec = spec_of("|u1", 1, &shape, 0);
    shmkit_block *block = NULL, *filler = NULL;

    T_CHECK_EQ(shmkit_ndarray_create("sparse", &spec, &options, &block), 0);
    attach_info("sparse");
    T_CHECK_EQ(info.data_size, shape);
    T_CHECK(unit_stat("sparse").resident <= 2 * 4096);
    drop(block);
    block = NULL;
    for (size_t size = 64 * MIB; size >= 4096; size /= 2) {
        while (shmkit_block_create(NULL, size, NULL, &filler) == 0)
            shmkit_block_close(filler);
    }
    T_CHECK_EQ(shmkit_ndarray_create("sparse", &spec, &options, &block),
               -ENOSPC);
    T_CHECK(block == NULL && !unit_exists("sparse"));
}

/* ---- others ---- */

static int
make_and_remove(void *arg)
{
    static const uint64_t shape[] = {500};
    struct shmkit_ndarray_spec spec = spec_of("<f8", 1, shape, 0);
    double ones[500];
    shmkit_block *block;

    for (int i = 0; i < 500; i++)
        ones[i] = 1;
    spec.data = ones;
    spec.data_size = sizeof ones;
    for (int i = 0; i < 3000; i++)
        drop(make("busy", &spec));
    t_flag_set(arg, 1);
    block = make("busy", &spec);
    shmkit_block_close(block);
    return T_PASS;
}

/* Nobody meets an array half-described or half-filled. */
static void
test_an_array_appears_whole(void)
{
    struct t_flag *done = t_flag_new();
    shmkit_block *block;
    unsigned met = 0;
    pid_t pid;
    int r;

    T_CHECK_EQ(shmkit_family_form(), 0);
    pid = t_fork(make_and_remove, done);
    for (;;) {
        r = shmkit_ndarray_attach("busy", NULL, NULL, &block, &info);
        if (r == 0) {
            const double *data = shmkit_block_data(block);

            met++;
            T_CHECK_EQ(info.shape[0], 500);
            T_CHECK(data[0] == 1 && data[499] == 1);
            shmkit_block_close(block);
        } else {
            T_CHECK_EQ(r, -ENOENT);
        }
        if (met > 0 && t_flag_get(done) != 0)
            break;
    }
    T_CHECK_EQ(t_wait(pid), T_PASS);
    T_CHECK_EQ(shmkit_block_unlink("busy", NULL), 0);
}

static void
test_every_lifetime_and_a_look_that_holds_nothing(void)
{
    static const uint64_t shape[] = {10};
    struct shmkit_ndarray_spec spec = spec_of("<f8", 1, shape, 0);

    for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
        struct shmkit_block_options options = unit_options(0, lifetime);
        shmkit_block *block = NULL;

        T_CHECK_EQ(shmkit_ndarray_create("life", &spec, &options, &block), 0);
        attach_info("life");
        T_CHECK_EQ(unit_stat("life").lifetime, lifetime);
        shmkit_block_close(block);
        T_CHECK_EQ(unit_exists("life"), lifetime != SHMKIT_LIFETIME_HOLDERS);
        if (lifetime == SHMKIT_LIFETIME_HOLDERS)
            continue;
        T_CHECK_EQ(shmkit_ndarray_stat("life", &info, sizeof info), 0);
        T_CHECK_EQ(shmkit_block_unlink("life", NULL), 0);
    }
}

static void
test_read_only_and_private_views(void)
{
    static const uint64_t shape[] = {10};
    struct shmkit_ndarray_spec spec = spec_of("<f8", 1, shape, 0);
    shmkit_block *block = make("views", &spec), *view = NULL;
    static const uint32_t flags[] = {SHMKIT_READ_ONLY, SHMKIT_PRIVATE,
                                     SHMKIT_PREFAULT};

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        struct shmkit_block_options options = unit_options(flags[i], 0);

        T_CHECK_EQ(
            shmkit_ndarray_attach("views", &spec, &options, &view, &info), 0);
        T_CHECK_EQ(info.count, 10);
        T_CHECK_EQ(shmkit_block_is_read_only(view), i == 0);
        shmkit_block_close(view);
    }
    drop(block);
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_dtypes_have_one_canonical_form),
        UNIT_CASE(test_dtypes_are_bounded),
        UNIT_CASE(test_fields_are_visited_in_order),
        UNIT_CASE(test_the_name_alone_is_enough),
        UNIT_CASE(test_fortran_order_and_strides),
        UNIT_CASE(test_every_number_of_dimensions),
        UNIT_CASE(test_nothing_is_an_array_too),
        UNIT_CASE(test_bytes_from_offset_0),
        UNIT_CASE(test_big_arrays_with_content),
        UNIT_CASE(test_specs_that_are_no_good),
        UNIT_CASE(test_what_is_expected_is_checked),
        UNIT_CASE(test_exist_ok_takes_only_its_like),
        UNIT_CASE(test_plain_blocks_are_no_arrays),
        UNIT_CASE(test_a_damaged_description_is_an_error),
        UNIT_CASE(test_another_version_says_so),
        UNIT_CASE(test_a_block_of_another_size_is_no_array),
        UNIT_CASE(test_sparse_arrays_without_room),
        UNIT_CASE(test_an_array_appears_whole),
        UNIT_CASE(test_every_lifetime_and_a_look_that_holds_nothing),
        UNIT_CASE(test_read_only_and_private_views),
    };

    return UNIT_MAIN("ndarray", "size=64m", cases);
}
