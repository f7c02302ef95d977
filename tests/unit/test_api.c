/* SPDX-License-Identifier: MIT */
/* test_api.c - every public function once, through the shared library: one
 * that is not exported does not link here.
 *
 * The same source is compiled as C++ too, where there is a compiler for it:
 * so it keeps to what both languages have. */
#include <errno.h>
#include <shmkit/shmkit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failures;

static void
expect(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "failed: %s\n", what);
    failures++;
}

#define EXPECT(condition) expect((condition) != 0, #condition)

static int
count_stat(const struct shmkit_block_stat *stat, void *arg)
{
    int *count = (int *)arg;

    *count += strncmp(stat->name, "psm_", 4) == 0;
    return 0;
}

static int
count_holder(const struct shmkit_holder *holder, void *arg)
{
    int *count = (int *)arg;

    *count += holder->pid == (int64_t)getpid();
    return 0;
}

static void
use_text(void)
{
    EXPECT(strlen(shmkit_version()) >= strlen("0.0.0"));
    for (int r = -200; r < 10; r++)
        EXPECT(shmkit_strerror(r) != NULL && shmkit_strerror(r)[0] != '\0');
    EXPECT(shmkit_strerror(-2147483647 - 1) != NULL);
    EXPECT(shmkit_strerror(2147483647) != NULL);
}

static void
use_handle(shmkit_block *block)
{
    struct shmkit_block_stat stat;
    shmkit_block *other = NULL;
    uint64_t huge = 1;
    char five[5];
    int fd = -1;

    EXPECT(shmkit_block_data(block) != NULL);
    EXPECT(shmkit_block_size(block) == 100);
    EXPECT(shmkit_block_mode(block) == 0600);
    EXPECT(shmkit_block_is_read_only(block) == 0);
    EXPECT(shmkit_copy_in(block, 90, "0123456789", 10) == 0);
    EXPECT(shmkit_copy_out(block, 95, five, 5) == 0);
    EXPECT(memcmp(five, "56789", 5) == 0);
    EXPECT(shmkit_block_get_huge(block, &huge) == 0 ? huge == 0 : 1);
    EXPECT(shmkit_block_open_fd(block, &fd) == 0);
    EXPECT(close(fd) == 0);
    EXPECT(shmkit_block_attach(shmkit_block_name(block), NULL, &other) == 0);
    other = shmkit_block_close(other);
    EXPECT(shmkit_block_grow(block, 200, &other) == 0);
    other = shmkit_block_close(other);
    EXPECT(shmkit_block_stat(shmkit_block_name(block), &stat, sizeof stat) ==
           0);
    EXPECT(stat.size == 200);
}

static void
use_blocks(void)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    struct shmkit_block_ref ref;
    shmkit_block *block = NULL;
    int count = 0;
    char name[SHMKIT_NAME_SIZE];

    EXPECT(shmkit_block_create(NULL, 100, &options, &block) == 0);
    use_handle(block);
    EXPECT(shmkit_block_list(count_stat, &count) == 0 && count > 0);
    count = 0;
    EXPECT(shmkit_holder_list(count_holder, &count) == 0 && count > 0);
    EXPECT(shmkit_block_persist(block) == 0);
    (void)snprintf(name, sizeof name, "%s", shmkit_block_name(block));
    EXPECT(shmkit_block_reap(name) == SHMKIT_KEPT);
    EXPECT(shmkit_sweep(SHMKIT_DRY_RUN, NULL, NULL) == 0);
    ref = shmkit_block_get_ref(block);
    EXPECT(shmkit_block_unlink(name, &ref) == 0);
    EXPECT(shmkit_block_close(block) == NULL);
}

static int
count_field(const struct shmkit_field *field, void *arg)
{
    int *count = (int *)arg;

    *count += field->kind == 'f';
    return 0;
}

static void
use_arrays(void)
{
    struct shmkit_ndarray_spec spec = SHMKIT_NDARRAY_SPEC_INIT;
    struct shmkit_ndarray_info info;
    const uint64_t shape[] = {2, 3};
    shmkit_block *block = NULL, *other = NULL;
    const char *name;
    char text[20];
    uint64_t size = 0;
    int count = 0;

    spec.dtype = "f8";
    spec.shape = shape;
    spec.ndim = 2;
    EXPECT(shmkit_ndarray_create(NULL, &spec, NULL, &block) == 0);
    name = shmkit_block_name(block);
    EXPECT(shmkit_ndarray_attach(name, &spec, NULL, &other, &info) == 0);
    other = shmkit_block_close(other);
    EXPECT(shmkit_ndarray_get_info(block, &info, sizeof info) == 0);
    EXPECT(shmkit_ndarray_stat(name, &info, sizeof info) == 0);
    EXPECT(info.count == 6 && shmkit_ndarray_check(&info, &spec) == 0);
    EXPECT(shmkit_dtype_canonical("f8", text, sizeof text, &size) == 0);
    EXPECT(size == 8 && strcmp(text, info.dtype) == 0);
    EXPECT(shmkit_dtype_visit("[('a', 'f8')]", count_field, &count) == 0);
    EXPECT(count == 1);
    EXPECT(shmkit_block_unlink(name, NULL) == 0);
    EXPECT(shmkit_block_close(block) == NULL);
}

static void
use_shareable_list(void)
{
    struct shmkit_shareable_item items[2], item;
    shmkit_shareable_list list, other;
    shmkit_block *block = NULL;
    uint64_t bytes[16];
    char format[SHMKIT_SHAREABLE_FORMAT_SIZE];
    size_t size = 0, at = 9;

    memset(items, 0, sizeof items);
    items[0].type = SHMKIT_SHAREABLE_INT;
    items[0].integer = 5;
    items[1].type = SHMKIT_SHAREABLE_STR;
    items[1].data = "five";
    items[1].len = 4;
    EXPECT(shmkit_shareable_list_measure(items, 2, &size) == 0 && size == 66);
    EXPECT(shmkit_shareable_list_init(bytes, size, items, 2, &list) == 0);
    EXPECT(shmkit_shareable_list_view(bytes, size, 0, &other) == 0);
    EXPECT(shmkit_shareable_list_create(NULL, items, 2, NULL, &block, &list) ==
           0);
    EXPECT(shmkit_shareable_list_attach(block, &other) == 0);
    EXPECT(shmkit_shareable_list_length(&other) == 2);
    EXPECT(shmkit_shareable_list_check_set(&list, 0, &items[1]) == 0);
    EXPECT(shmkit_shareable_list_set(&list, 0, &items[1]) == 0);
    EXPECT(shmkit_shareable_list_get(&other, 0, &item) == 0 && item.len == 4);
    EXPECT(shmkit_shareable_list_format(&other, 0, format) == 0);
    EXPECT(strcmp(format, "8s") == 0);
    EXPECT(shmkit_shareable_list_index(&other, &items[1], 1, 2, &at) == 0);
    EXPECT(at == 1);
    EXPECT(shmkit_shareable_list_count(&other, &items[1], &at) == 0);
    EXPECT(at == 2);
    EXPECT(shmkit_shareable_list_check(&other) == 0);
    EXPECT(shmkit_block_unlink(shmkit_block_name(block), NULL) == 0);
    EXPECT(shmkit_block_close(block) == NULL);
}

static void
use_families(void)
{
    char id[SHMKIT_FAMILY_ID_SIZE];
    int fd = -1;

    shmkit_family_form_at_fork(0);
    shmkit_family_form_at_fork(1);
    EXPECT(shmkit_family_form() == 0);
    EXPECT(shmkit_family_get_id(id) == 0);
    EXPECT(shmkit_family_join(id) == 0);
    EXPECT(shmkit_family_get_fd(&fd) == 0);
    EXPECT(shmkit_family_join_fd(fd) == 0);
    shmkit_process_exit();
    EXPECT(shmkit_family_get_id(id) == -ENOENT);
}

int
main(void)
{
    use_text();
    use_blocks();
    use_shareable_list();
    use_arrays();
    use_families();
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
