/* SPDX-License-Identifier: MIT */
/* test_shareable.c - shareable lists: CPython's bytes, what is refused, bytes
 * that make no sense, and a set that is killed at any instruction.
 *
 * The bytes that CPython 3.13 makes are written out here, so that the test
 * needs no Python; the tests in tests/python ask each Python itself. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define NONE                          \
    {                                 \
        .type = SHMKIT_SHAREABLE_NONE \
    }
#define BOOL(b)                                       \
    {                                                 \
        .type = SHMKIT_SHAREABLE_BOOL, .boolean = (b) \
    }
#define INT(i)                                       \
    {                                                \
        .type = SHMKIT_SHAREABLE_INT, .integer = (i) \
    }
#define FLOAT(f)                                    \
    {                                               \
        .type = SHMKIT_SHAREABLE_FLOAT, .real = (f) \
    }
/* Of a literal, its last NUL not counted. */
#define STR(s)                                                           \
    {                                                                    \
        .type = SHMKIT_SHAREABLE_STR, .data = "" s, .len = sizeof(s) - 1 \
    }
#define BYTES(s)                                                           \
    {                                                                      \
        .type = SHMKIT_SHAREABLE_BYTES, .data = "" s, .len = sizeof(s) - 1 \
    }

typedef struct shmkit_shareable_item item_t;
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool
same(const item_t *a, const item_t *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
        case SHMKIT_SHAREABLE_BOOL:
            return a->boolean == b->boolean;
        case SHMKIT_SHAREABLE_INT:
        case SHMKIT_SHAREABLE_FLOAT:
            return a->integer == b->integer; /* the same bits */
        case SHMKIT_SHAREABLE_STR:
        case SHMKIT_SHAREABLE_BYTES:
            return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
        default:
            return a->type == SHMKIT_SHAREABLE_NONE;
    }
}

/* A list in memory of exactly its size, so that a sanitizer sees what goes
 * beyond; view.data is the caller's to free. */
static shmkit_shareable_list
make(const item_t *items, size_t count)
{
    shmkit_shareable_list list;
    size_t size;
    void *data;

    T_CHECK_EQ(shmkit_shareable_list_measure(items, count, &size), 0);
    data = malloc(size);
    T_CHECK(data != NULL);
    memset(data, 0xa5, size);
    T_CHECK_EQ(shmkit_shareable_list_init(data, size, items, count, &list), 0);
    T_CHECK_EQ(list.size, size);
    return list;
}

static void
check_item(const shmkit_shareable_list *list, size_t position, item_t want)
{
    item_t item;

    T_CHECK_EQ(shmkit_shareable_list_get(list, position, &item), 0);
    T_CHECK(same(&item, &want));
}

static void
check_format(const shmkit_shareable_list *list, size_t position,
             const char *want)
{
    char format[SHMKIT_SHAREABLE_FORMAT_SIZE];

    T_CHECK_EQ(shmkit_shareable_list_format(list, position, format), 0);
    T_CHECK_STR(format, want);
}

/* ---- the bytes ---- */

/* What CPython 3.13 makes of ['ab', 7, 2.5, None, True, b'12345678']. */
static const char golden[] =
    "\6\0\0\0\0\0\0\0"
    "\0\0\0\0\0\0\0\0\10\0\0\0\0\0\0\0\20\0\0\0\0\0\0\0\30\0\0\0\0\0\0\0"
    "\40\0\0\0\0\0\0\0\50\0\0\0\0\0\0\0\70\0\0\0\0\0\0\0"
    "ab\0\0\0\0\0\0\7\0\0\0\0\0\0\0\0\0\0\0\0\0\4\100"
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
    "12345678\0\0\0\0\0\0\0\0"
    "8s\0\0\0\0\0\0q\0\0\0\0\0\0\0d\0\0\0\0\0\0\0"
    "xxxxxx?xxxxxxxx?16s\0\0\0\0\0"
    "\1\0\0\3\0\2";

static const item_t golden_items[] = {STR("ab"), INT(7),  FLOAT(2.5),
                                      NONE,      BOOL(1), BYTES("12345678")};

static void
test_the_bytes_are_those_of_cpython(void)
{
    shmkit_shareable_list list = make(golden_items, COUNT(golden_items));

    T_CHECK_EQ(list.size, sizeof golden - 1);
    T_CHECK_EQ(memcmp(list.data, golden, list.size), 0);
    free(list.data);
}

static void
test_cpythons_bytes_are_read(void)
{
    shmkit_shareable_list list;
    void *data = malloc(sizeof golden - 1);

    T_CHECK(data != NULL);
    memcpy(data, golden, sizeof golden - 1);
    T_CHECK_EQ(shmkit_shareable_list_view(data, sizeof golden - 1, 0, &list),
               0);
    T_CHECK_EQ(shmkit_shareable_list_length(&list), COUNT(golden_items));
    for (size_t i = 0; i < COUNT(golden_items); i++)
        check_item(&list, i, golden_items[i]);
    T_CHECK_EQ(shmkit_shareable_list_check(&list), 0);
    free(data);
}

static void
test_slots_hold_what_utf8_takes(void)
{
    /* 7 characters of 3 bytes; CPython gives them 8 bytes. */
    const item_t items[] = {
        STR("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\xe6\x9c\xac"
            "\xe8\xaa\x9e\xe6\x97\xa5"),
        STR(""), BYTES(""), STR("1234567"), STR("12345678")};
    const char *const formats[] = {"24s", "8s", "8s", "8s", "16s"};
    shmkit_shareable_list list = make(items, COUNT(items));

    for (size_t i = 0; i < COUNT(items); i++) {
        check_item(&list, i, items[i]);
        check_format(&list, i, formats[i]);
    }
    free(list.data);
}

static void
test_bytes_that_end_in_nul_are_kept_whole(void)
{
    const item_t items[] = {BYTES("ab\0"), BYTES("\0"),
                            BYTES("\0\0\0\0\0\0\0\0"), BYTES("ab\0cd")};
    const char *const formats[] = {"3sx", "1sx", "8sx", "8s"};
    const item_t full = BYTES("1234567\0"), shorter = BYTES("x");
    shmkit_shareable_list list = make(items, COUNT(items));

    for (size_t i = 0; i < COUNT(items); i++) {
        check_item(&list, i, items[i]);
        check_format(&list, i, formats[i]);
    }
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 0, &full), 0);
    check_format(&list, 0, "8s"); /* the whole slot: no x needed */
    check_item(&list, 0, full);
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 0, &shorter), 0);
    check_item(&list, 0, shorter);
    free(list.data);
}

static void
test_an_empty_list(void)
{
    shmkit_shareable_list list = make(NULL, 0);
    char zeros[40] __attribute__((aligned(8))) = {0};
    item_t item;

    T_CHECK_EQ(list.size, 16);
    T_CHECK_EQ(shmkit_shareable_list_view(list.data, 16, 0, &list), 0);
    T_CHECK_EQ(shmkit_shareable_list_length(&list), 0);
    T_CHECK_EQ(shmkit_shareable_list_get(&list, 0, &item), -ERANGE);
    free(list.data);
    /* Zeros with room for more are a list that is being made. */
    T_CHECK_EQ(shmkit_shareable_list_view(zeros, sizeof zeros, 0, &list),
               -EBADMSG);
    T_CHECK_EQ(shmkit_shareable_list_init(zeros, sizeof zeros, NULL, 0, &list),
               -EINVAL);
}

/* ---- what is refused ---- */

static void
check_refused(item_t item, int want)
{
    shmkit_shareable_list list = make(golden_items, COUNT(golden_items));
    size_t size = 12345;

    if (want != -EMSGSIZE)
        T_CHECK_EQ(shmkit_shareable_list_measure(&item, 1, &size), want);
    if (want != -EMSGSIZE)
        T_CHECK_EQ(size, 12345);
    for (size_t i = 0; i < COUNT(golden_items); i++) {
        T_CHECK_EQ(shmkit_shareable_list_check_set(&list, i, &item), want);
        T_CHECK_EQ(shmkit_shareable_list_set(&list, i, &item), want);
    }
    T_CHECK_EQ(memcmp(list.data, golden, list.size), 0);
    free(list.data);
}

static void
test_what_is_refused_changes_nothing(void)
{
    check_refused((item_t){.type = 0}, -EINVAL);
    check_refused((item_t){.type = 7}, -EINVAL);
    check_refused((item_t)BOOL(2), -EINVAL);
    check_refused((item_t)STR("a\0"), -EILSEQ);
    check_refused((item_t)STR("\xff"), -EILSEQ);
    check_refused((item_t)STR("12345678901234567"), -EMSGSIZE);
    check_refused((item_t)BYTES("12345678901234567"), -EMSGSIZE);
}

static void
test_positions_are_bounded(void)
{
    shmkit_shareable_list list = make(golden_items, COUNT(golden_items));
    const item_t one = INT(1);
    char format[SHMKIT_SHAREABLE_FORMAT_SIZE];
    item_t item;

    for (size_t i = 6; i != 0; i = i == 6 ? SIZE_MAX / 8 : 0) {
        T_CHECK_EQ(shmkit_shareable_list_get(&list, i, &item), -ERANGE);
        T_CHECK_EQ(shmkit_shareable_list_set(&list, i, &one), -ERANGE);
        T_CHECK_EQ(shmkit_shareable_list_check_set(&list, i, &one), -ERANGE);
        T_CHECK_EQ(shmkit_shareable_list_format(&list, i, format), -ERANGE);
    }
    T_CHECK_EQ(shmkit_shareable_list_get(&list, SIZE_MAX, &item), -ERANGE);
    free(list.data);
}

static void
test_the_longest_items(void)
{
    static char big[SHMKIT_SHAREABLE_ITEM_MAX + 1];
    item_t item = {.type = SHMKIT_SHAREABLE_BYTES, .data = big};
    shmkit_shareable_list list;
    size_t size;

    memset(big, 'x', sizeof big);
    item.len = SHMKIT_SHAREABLE_ITEM_MAX;
    list = make(&item, 1);
    check_item(&list, 0, item);
    check_format(&list, 0, "9999992s");
    free(list.data);
    item.len++;
    T_CHECK_EQ(shmkit_shareable_list_measure(&item, 1, &size), -EFBIG);
    item.len--;
    big[item.len - 1] = 0; /* exact, and a multiple of 8 */
    list = make(&item, 1);
    check_item(&list, 0, item);
    item.len = 999999;
    big[item.len - 1] = 0;
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 0, &item), 0);
    check_format(&list, 0, "999999sx");
    item.len = 1000001;
    big[item.len - 1] = 0;
    T_CHECK_EQ(shmkit_shareable_list_measure(&item, 1, &size), -EFBIG);
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 0, &item), -EFBIG);
    check_format(&list, 0, "999999sx");
    free(list.data);
}

static void
test_utf8_is_checked(void)
{
    static const struct {
        const char *text;
        int want;
    } texts[] = {
        {"plain", 0},
        {"\xc3\xa4", 0},
        {"\xed\x9f\xbf", 0},
        {"\xf4\x8f\xbf\xbf", 0},
        {"12345678\xe2\x82\xac", 0},
        {"\x80", -EILSEQ},
        {"\xc0\x80", -EILSEQ},
        {"\xc1\xbf", -EILSEQ},
        {"\xc3", -EILSEQ},
        {"\xe0\x9f\xbf", -EILSEQ},
        {"\xed\xa0\x80", -EILSEQ},
        {"\xe2\x82", -EILSEQ},
        {"\xe2\x82z", -EILSEQ},
        {"\xf0\x8f\xbf\xbf", -EILSEQ},
        {"\xf4\x90\x80\x80", -EILSEQ},
        {"\xf5\x80\x80\x80", -EILSEQ},
        {"12345678\xff", -EILSEQ},
    };
    size_t size;

    for (size_t i = 0; i < COUNT(texts); i++) {
        item_t item = {.type = SHMKIT_SHAREABLE_STR,
                       .data = texts[i].text,
                       .len = strlen(texts[i].text)};

        T_CHECK_EQ(shmkit_shareable_list_measure(&item, 1, &size),
                   texts[i].want);
    }
}

/* ---- replacing ---- */

static const item_t values[] = {NONE,
                                BOOL(0),
                                BOOL(1),
                                INT(0),
                                INT(-1),
                                FLOAT(0.0),
                                FLOAT(-1.5),
                                STR("a"),
                                STR("sixteen bytes :)"),
                                BYTES(""),
                                BYTES("a\0"),
                                BYTES("a"),
                                BYTES("0123456789abcdef")};

static void
test_every_item_replaces_every_other(void)
{
    const item_t first = BYTES("0123456789abcde"), guard = INT(-1);
    const item_t items[] = {guard, first, guard};

    for (size_t i = 0; i < COUNT(values); i++)
        for (size_t k = 0; k < COUNT(values); k++) {
            shmkit_shareable_list list = make(items, COUNT(items));

            T_CHECK_EQ(shmkit_shareable_list_set(&list, 1, &values[i]), 0);
            check_item(&list, 1, values[i]);
            T_CHECK_EQ(shmkit_shareable_list_set(&list, 1, &values[k]), 0);
            check_item(&list, 1, values[k]);
            check_item(&list, 0, guard);
            check_item(&list, 2, guard);
            free(list.data);
        }
}

/* ---- kills ----
 * A child replaces an item of a shared list, one instruction at a time.  What
 * stands there after each is what a kill would leave. */

struct stepped {
    shmkit_shareable_list list;
    const item_t *value;
    uint32_t *done; /* shared */
};

static int
replace_traced(void *arg)
{
    const struct stepped *stepped = arg;

    T_SYS(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    T_SYS(raise(SIGSTOP));
    T_CHECK_EQ(shmkit_shareable_list_set(&stepped->list, 0, stepped->value),
               0);
    __atomic_store_n(stepped->done, 1, __ATOMIC_SEQ_CST);
    return T_PASS;
}

/* What the item may be on the way from one value to the other; whether it was
 * None in between goes to *ret_marked. */
static void
check_on_the_way(const struct stepped *stepped, const item_t *old,
                 bool *ret_marked)
{
    const item_t none = NONE;
    item_t item;

    T_CHECK_EQ(shmkit_shareable_list_get(&stepped->list, 0, &item), 0);
    if (!same(&item, old) && !same(&item, stepped->value)) {
        T_CHECK(same(&item, &none));
        *ret_marked = true;
    }
}

static void
step_through(const struct stepped *stepped, const item_t *old,
             bool *ret_marked)
{
    unsigned char before[T_PAGE];
    int status = 0;
    pid_t pid;

    memcpy(before, stepped->list.data, stepped->list.size);
    pid = t_fork_raw(replace_traced, (void *)(uintptr_t)stepped);
    T_CHECK_EQ(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        unit_skip("no ptrace here");
    while (!__atomic_load_n(stepped->done, __ATOMIC_SEQ_CST)) {
        T_SYS(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL));
        T_CHECK_EQ(waitpid(pid, &status, 0), pid);
        T_CHECK(WIFSTOPPED(status));
        if (memcmp(before, stepped->list.data, stepped->list.size) != 0)
            check_on_the_way(stepped, old, ret_marked);
        memcpy(before, stepped->list.data, stepped->list.size);
    }
    T_SYS(ptrace(PTRACE_CONT, pid, NULL, NULL));
    T_CHECK_EQ(t_wait(pid), T_PASS);
}

/* Whether the item was ever None on the way. */
static bool
is_marked_on_the_way(const item_t *first, const item_t *old,
                     const item_t *value)
{
    unsigned char *page = t_shared_page();
    struct stepped stepped = {.value = value,
                              .done = (uint32_t *)(void *)(page + 2048)};
    bool marked = false;

    T_CHECK_EQ(shmkit_shareable_list_init(page, 2048, first, 1, &stepped.list),
               0);
    stepped.list.size = 512; /* enough to compare */
    T_CHECK_EQ(shmkit_shareable_list_set(&stepped.list, 0, old), 0);
    step_through(&stepped, old, &marked);
    check_item(&stepped.list, 0, *value);
    T_SYS(munmap(page, T_PAGE));
    return marked;
}

static void
skip_under_valgrind(void)
{
    if (getenv("T_VALGRIND") != NULL)
        unit_skip("valgrind does not single-step");
}

static void
test_a_kill_at_any_instruction_leaves_old_new_or_none(void)
{
    const item_t first = BYTES("0123456789abcde");
    int marked = 0;

    skip_under_valgrind();
    for (size_t i = 0; i < COUNT(values); i += 2)
        for (size_t k = 0; k < COUNT(values); k++)
            marked += is_marked_on_the_way(&first, &values[i], &values[k]);
    T_CHECK(marked > 20); /* the test sees marks at all */
}

static void
test_items_of_one_kind_are_replaced_by_one_store(void)
{
    static const item_t pairs[][2] = {
        {INT(INT64_MIN), INT(INT64_MAX)},
        {FLOAT(1.5), FLOAT(-3e300)},
        {BOOL(0), BOOL(1)},
        {STR("a"), STR("1234567")},
        {STR(""), STR("12345678")},
        {BYTES("1234567"), BYTES("7654321")},
        {NONE, INT(-1)},
        {NONE, STR("some")},
        {INT(5), NONE},
        {STR("some"), NONE},
        {STR("same"), BYTES("same")},
        {INT(0), FLOAT(0.0)},
        {BOOL(0), INT(0)},
    };
    const item_t first = STR("1234567");

    skip_under_valgrind();
    for (size_t i = 0; i < COUNT(pairs); i++)
        T_CHECK(!is_marked_on_the_way(&first, &pairs[i][0], &pairs[i][1]));
}

static void
test_an_item_left_under_a_mark_is_none_and_can_be_set(void)
{
    const item_t items[] = {STR("killed"), INT(1)}, next = STR("next");
    shmkit_shareable_list list = make(items, COUNT(items));

    list.data[list.size - 2] = 3; /* the code of item 0 */
    check_item(&list, 0, (item_t)NONE);
    check_format(&list, 0, "8s");
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 0, &next), 0);
    check_item(&list, 0, next);
    free(list.data);
}

/* ---- bytes that make no sense ---- */

static void
put(unsigned char *data, size_t at, uint64_t word)
{
    memcpy(data + at, &word, sizeof word);
}

static void
test_headers_that_are_no_list_are_refused(void)
{
    static const struct {
        size_t at;
        uint64_t word;
    } damages[] = {
        {0, UINT64_MAX},
        {0, UINT64_C(1) << 40},
        {0, UINT64_C(1) << 61},
        {0, 7},
        {0, 0},
        {8, 8},
        {16, UINT64_MAX},
        {24, 1},
        {56, UINT64_C(1) << 62},
        {56, 1000},
        {56, 48},
    };
    shmkit_shareable_list list;

    for (size_t i = 0; i < COUNT(damages); i++) {
        unsigned char *data = malloc(sizeof golden - 1);

        T_CHECK(data != NULL);
        memcpy(data, golden, sizeof golden - 1);
        put(data, damages[i].at, damages[i].word);
        if (damages[i].at == 56 && damages[i].word == 48)
            put(data, 48, 56); /* falls */
        T_CHECK_EQ(
            shmkit_shareable_list_view(data, sizeof golden - 1, 0, &list),
            -EBADMSG);
        free(data);
    }
}

static void
test_a_list_cut_anywhere_is_refused(void)
{
    shmkit_shareable_list list;

    for (size_t size = 0; size < sizeof golden - 1; size++) {
        unsigned char *data = malloc(size + (size == 0));

        T_CHECK(data != NULL);
        memcpy(data, golden, size);
        T_CHECK_EQ(shmkit_shareable_list_view(data, size, 0, &list), -EBADMSG);
        free(data);
    }
}

static void
check_damaged(size_t at, const char *bytes, size_t len, size_t position)
{
    shmkit_shareable_list list = make(golden_items, COUNT(golden_items));
    const item_t one = INT(1);
    item_t item;
    size_t count;

    memcpy(list.data + at, bytes, len);
    T_CHECK_EQ(shmkit_shareable_list_get(&list, position, &item), -EBADMSG);
    T_CHECK_EQ(shmkit_shareable_list_check(&list), -EBADMSG);
    T_CHECK_EQ(shmkit_shareable_list_count(&list, &one, &count), -EBADMSG);
    free(list.data);
}

static void
test_damaged_items_are_refused(void)
{
    static const char *const formats[] = {
        "P\0\0\0\0\0\0\0", "99999999",      "s\0\0\0\0\0\0\0",
        "0s\0\0\0\0\0\0",  "qqqqqqqq",      "\0\0\0\0\0\0\0\0",
        "%s\0\0\0\0\0\0",  "8s8\0\0\0\0\0", "9s\0\0\0\0\0\0",
        "9999999s",        "8sxx\0\0\0\0",  "xxxxxxx\0",
    };
    size_t at = sizeof golden - 1 - 6 - 48;

    for (size_t i = 0; i < COUNT(formats); i++)
        check_damaged(at, formats[i], 8, 0);
    check_damaged(at + 48, "\4", 1, 0);          /* no such code */
    check_damaged(at + 48, "\377", 1, 0);        /* CPython has it signed */
    check_damaged(at + 49, "\1", 1, 1);          /* text from a number */
    check_damaged(16, "\1\0\0\0\0\0\0\0", 8, 0); /* a slot of one byte */
    check_damaged(16, "\377\377\377\377\377\377\377\377", 8, 1);
}

/* Offsets that change after the attach, as a hostile process would. */
static void
test_slots_outside_are_never_touched(void)
{
    shmkit_shareable_list list = make(golden_items, COUNT(golden_items));
    const item_t value = STR("x");
    item_t item;

    put(list.data, 16, UINT64_C(1) << 63);
    put(list.data, 56, UINT64_C(1) << 40); /* the copy in the view counts */
    T_CHECK_EQ(shmkit_shareable_list_get(&list, 0, &item), -EBADMSG);
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 1, &value), -EBADMSG);
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 5, &value), -EBADMSG);
    free(list.data);
}

/* A list of somebody else's, laid out at odd addresses. */
static void
test_slots_need_not_be_aligned(void)
{
    unsigned char *data = calloc(1, 100);
    const item_t value = INT(-2), text = STR("abc");
    shmkit_shareable_list list;

    T_CHECK(data != NULL);
    put(data, 0, 2);
    put(data, 16, 3);
    put(data, 24, 11);
    memcpy(data + 32, "xyz", 3);
    memcpy(data + 43, "3s\0\0\0\0\0\0q\0\0\0\0\0\0\0\1\0", 18);
    T_CHECK_EQ(shmkit_shareable_list_view(data, 61, 0, &list), 0);
    check_item(&list, 0, (item_t)STR("xyz"));
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 1, &value), 0);
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 0, &text), 0);
    check_item(&list, 1, value);
    check_item(&list, 0, text);
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 0, &value), -EBADMSG);
    T_CHECK_EQ(shmkit_shareable_list_view(data + 1, 61, 0, &list), -EINVAL);
    free(data);
}

/* ---- searching ---- */

static void
check_index(const shmkit_shareable_list *list, item_t item, size_t start,
            size_t stop, intmax_t want)
{
    size_t at = 99;
    int r;

    r = shmkit_shareable_list_index(list, &item, start, stop, &at);
    T_CHECK_EQ(r == 0 ? (intmax_t)at : r, want);
}

static void
test_equal_is_as_in_python(void)
{
    const item_t items[] = {FLOAT(1.0),    INT(1),
                            BOOL(1),       STR("1"),
                            BYTES("1"),    NONE,
                            FLOAT(0x1p53), INT((INT64_C(1) << 53) + 1),
                            FLOAT(0x1p63), INT(INT64_MIN),
                            FLOAT(-0x1p63)};
    shmkit_shareable_list list = make(items, COUNT(items));
    const item_t one = INT(1), nan = FLOAT((double)NAN);
    size_t count;

    check_index(&list, (item_t)INT(1), 0, 99, 0);
    check_index(&list, (item_t)BOOL(1), 1, 99, 1);
    check_index(&list, (item_t)FLOAT(1.0), 2, 99, 2);
    check_index(&list, (item_t)FLOAT(1.0), 3, 99, -ENOENT);
    check_index(&list, (item_t)STR("1"), 0, 3, -ENOENT);
    check_index(&list, (item_t)STR("1"), 0, 4, 3);
    check_index(&list, (item_t)BYTES("1"), 0, 99, 4);
    check_index(&list, (item_t)NONE, 0, SIZE_MAX, 5);
    check_index(&list, (item_t)FLOAT(0x1p53), 0, 99, 6);
    check_index(&list, (item_t)INT((INT64_C(1) << 53) + 1), 0, 99, 7);
    check_index(&list, (item_t)INT(INT64_MAX), 0, 99, -ENOENT);
    check_index(&list, (item_t)INT(INT64_MIN), 0, 99, 9);
    check_index(&list, (item_t)INT(INT64_MIN), 10, 99, 10);
    check_index(&list, nan, 0, 99, -ENOENT);
    check_index(&list, (item_t){.type = 0}, 0, 99, -EINVAL);
    T_CHECK_EQ(shmkit_shareable_list_count(&list, &one, &count), 0);
    T_CHECK_EQ(count, 3);
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 0, &nan), 0);
    check_index(&list, nan, 0, 99, -ENOENT);
    free(list.data);
}

/* ---- blocks ---- */

static void
test_a_list_in_a_block(void)
{
    struct shmkit_block_options options =
        unit_options(SHMKIT_EXIST_OK, SHMKIT_LIFETIME_FAMILY);
    shmkit_shareable_list list, other;
    shmkit_block *block, *second;
    const item_t value = INT(8);
    char name[T_NAME_SIZE];

    (void)t_scratch_name(name, "list");
    T_CHECK_EQ(shmkit_shareable_list_create(name, golden_items, 6, &options,
                                            &block, &list),
               -EINVAL);
    T_CHECK_EQ(shmkit_shareable_list_create(name, golden_items, 6, NULL,
                                            &block, &list),
               0);
    T_CHECK_EQ(shmkit_block_size(block), sizeof golden - 1);
    T_CHECK_EQ(memcmp(shmkit_block_data(block), golden, sizeof golden - 1), 0);
    second = unit_attach(name, SHMKIT_READ_ONLY);
    T_CHECK_EQ(shmkit_shareable_list_attach(second, &other), 0);
    T_CHECK_EQ(shmkit_shareable_list_set(&list, 1, &value), 0);
    check_item(&other, 1, value);
    T_CHECK_EQ(shmkit_shareable_list_set(&other, 1, &value), -EACCES);
    T_CHECK_EQ(shmkit_shareable_list_check_set(&other, 1, &value), -EACCES);
    shmkit_block_close(second);
    T_CHECK_EQ(shmkit_shareable_list_create(name, golden_items, 6, NULL,
                                            &second, &other),
               -EEXIST);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

static void
test_a_list_that_cannot_be_makes_no_block(void)
{
    const item_t bad = STR("\xff");
    shmkit_shareable_list list;
    shmkit_block *block;
    char name[T_NAME_SIZE];

    (void)t_scratch_name(name, "none");
    T_CHECK_EQ(
        shmkit_shareable_list_create(name, &bad, 1, NULL, &block, &list),
        -EILSEQ);
    T_CHECK(!unit_exists(name));
}

/* ---- readers ----
 * A child reads an item, one instruction at a time; before each of them, in a
 * run of its own, the item is replaced.  What the child reads is the old value
 * or the new one. */

struct reading {
    shmkit_shareable_list list;
    item_t item;   /* what was read */
    uint32_t done; /* 1 = read */
};

static int
read_traced(void *arg)
{
    struct reading *reading = arg; /* shared */

    T_SYS(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    T_SYS(raise(SIGSTOP));
    T_CHECK_EQ(shmkit_shareable_list_get(&reading->list, 0, &reading->item),
               0);
    __atomic_store_n(&reading->done, 1, __ATOMIC_SEQ_CST);
    return T_PASS;
}

/* Replace the item before instruction `number` of a read; false when the read
 * takes less. */
static bool
replace_before(struct reading *reading, const item_t *value, int number)
{
    bool done = false;
    int status = 0;
    pid_t pid;

    reading->done = 0;
    pid = t_fork_raw(read_traced, reading);
    T_CHECK_EQ(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        unit_skip("no ptrace here");
    while (number-- > 0 && !done) {
        T_SYS(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL));
        T_CHECK_EQ(waitpid(pid, &status, 0), pid);
        done = __atomic_load_n(&reading->done, __ATOMIC_SEQ_CST) != 0;
    }
    T_CHECK_EQ(shmkit_shareable_list_set(&reading->list, 0, value), 0);
    T_SYS(ptrace(PTRACE_CONT, pid, NULL, NULL));
    T_CHECK_EQ(t_wait(pid), T_PASS);
    return !done;
}

/* Whether some reads saw the old value and some the new one. */
static void
check_reads(const item_t *old, const item_t *value)
{
    unsigned char *page = t_shared_page();
    struct reading *reading = (struct reading *)(void *)(page + 2048);
    bool saw_old = false, saw_new = false, more = true;

    T_CHECK_EQ(shmkit_shareable_list_init(page, 2048, old, 1, &reading->list),
               0);
    for (int number = 0; more; number += 1 + number / 40) {
        T_CHECK_EQ(shmkit_shareable_list_set(&reading->list, 0, old), 0);
        more = replace_before(reading, value, number);
        T_CHECK(same(&reading->item, old) || same(&reading->item, value));
        saw_old = saw_old || same(&reading->item, old);
        saw_new = saw_new || same(&reading->item, value);
    }
    T_CHECK(saw_old && saw_new);
    T_SYS(munmap(page, T_PAGE));
}

static void
test_a_number_replaced_while_it_is_read_is_old_or_new(void)
{
    static const item_t pairs[][2] = {
        {INT(1), FLOAT(1.5)}, {FLOAT(1.5), BOOL(1)}, {BOOL(1), INT(-1)},
        {INT(1), INT(-1)},    {NONE, INT(7)},        {INT(7), NONE}};

    skip_under_valgrind();
    for (size_t i = 0; i < COUNT(pairs); i++)
        check_reads(&pairs[i][0], &pairs[i][1]);
}

/* One that is replaced again and again: reading it ends. */
static int
write_for_ever(void *arg)
{
    const shmkit_shareable_list *list = arg;
    const item_t kinds[] = {INT(1), FLOAT(1.0), BOOL(1), STR("1")};

    for (size_t i = 0;; i++)
        T_CHECK_EQ(
            shmkit_shareable_list_set(list, 0, &kinds[i % COUNT(kinds)]), 0);
    return T_PASS;
}

static void
test_reading_what_changes_all_the_time_ends(void)
{
    const item_t first = INT(1);
    unsigned char *page = t_shared_page();
    shmkit_shareable_list list;
    item_t item;
    pid_t pid;

    T_CHECK_EQ(shmkit_shareable_list_init(page, T_PAGE, &first, 1, &list), 0);
    pid = t_fork_raw(write_for_ever, &list);
    for (int i = 0; i < 100000; i++)
        (void)!shmkit_shareable_list_get(&list, 0, &item);
    T_SYS(t_kill_wait(pid));
    T_CHECK_EQ(shmkit_shareable_list_get(&list, 0, &item), 0);
    T_SYS(munmap(page, T_PAGE));
}

static const struct unit_case cases[] = {
    UNIT_CASE(test_the_bytes_are_those_of_cpython),
    UNIT_CASE(test_cpythons_bytes_are_read),
    UNIT_CASE(test_slots_hold_what_utf8_takes),
    UNIT_CASE(test_bytes_that_end_in_nul_are_kept_whole),
    UNIT_CASE(test_an_empty_list),
    UNIT_CASE(test_what_is_refused_changes_nothing),
    UNIT_CASE(test_positions_are_bounded),
    UNIT_CASE(test_the_longest_items),
    UNIT_CASE(test_utf8_is_checked),
    UNIT_CASE(test_every_item_replaces_every_other),
    UNIT_CASE(test_a_kill_at_any_instruction_leaves_old_new_or_none),
    UNIT_CASE(test_items_of_one_kind_are_replaced_by_one_store),
    UNIT_CASE(test_an_item_left_under_a_mark_is_none_and_can_be_set),
    UNIT_CASE(test_headers_that_are_no_list_are_refused),
    UNIT_CASE(test_a_list_cut_anywhere_is_refused),
    UNIT_CASE(test_damaged_items_are_refused),
    UNIT_CASE(test_slots_outside_are_never_touched),
    UNIT_CASE(test_slots_need_not_be_aligned),
    UNIT_CASE(test_equal_is_as_in_python),
    UNIT_CASE(test_a_list_in_a_block),
    UNIT_CASE(test_a_list_that_cannot_be_makes_no_block),
    UNIT_CASE(test_a_number_replaced_while_it_is_read_is_old_or_new),
    UNIT_CASE(test_reading_what_changes_all_the_time_ends),
};

int
main(void)
{
    return UNIT_MAIN("shareable", NULL, cases);
}
