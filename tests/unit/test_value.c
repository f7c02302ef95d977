/* SPDX-License-Identifier: MIT */
/* test_value.c - typed cells and arrays: every type and operation against
 * plain C, orders, threads and processes, waiting, bounds and hostile numbers.
 *
 * Where a claim is about being woken, the waiter has no deadline: a wake-up
 * that is lost for good shows as a test that does not end. */
#include <limits.h>
#include <linux/futex.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <shmkit/value.h>

#include "unit.h"

#define THREADS 4
#define ROUNDS 20000

static const uint32_t integer_types[] = {
    SHMKIT_INT8,  SHMKIT_INT16,  SHMKIT_INT32,  SHMKIT_INT64,
    SHMKIT_UINT8, SHMKIT_UINT16, SHMKIT_UINT32, SHMKIT_UINT64,
};
#define INTEGER_TYPES (sizeof integer_types / sizeof *integer_types)

/* For the tests that fork: no family, which would be left open. */
static void *
shared_memory(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    T_CHECK(p != MAP_FAILED);
    shmkit_family_form_at_fork(0);
    return p;
}

/* ---- types ---- */

static void
sizes(void)
{
    static const size_t expected[] = {0,
                                      1,
                                      1,
                                      2,
                                      4,
                                      8,
                                      1,
                                      2,
                                      4,
                                      8,
                                      sizeof(float),
                                      sizeof(double),
                                      1,
                                      sizeof(wchar_t)};
    uint32_t type;

    for (type = 0; type <= SHMKIT_WCHAR; type++)
        T_CHECK_EQ(shmkit_type_size(type), expected[type]);
    T_CHECK_EQ(shmkit_type_size(SHMKIT_WCHAR + 1), 0);
    T_CHECK_EQ(shmkit_type_size(UINT32_MAX), 0);
}

/* A cell between two canaries keeps to its bytes. */
static void
keeps_to_its_bytes(void)
{
    uint32_t type;

    for (type = SHMKIT_BOOL; type <= SHMKIT_WCHAR; type++) {
        size_t size = shmkit_type_size(type), i;
        _Alignas(8) unsigned char bytes[24];
        shmkit_scalar value = {.u64 = 0}, back;

        memset(bytes, 0xee, sizeof bytes);
        memset(&value, type == SHMKIT_BOOL ? 1 : 0x55, size);
        T_CHECK_EQ(shmkit_cell_store(bytes + 8, type, SHMKIT_RELEASE, value),
                   0);
        T_CHECK_EQ(shmkit_cell_load(bytes + 8, type, SHMKIT_ACQUIRE, &back),
                   0);
        T_CHECK(memcmp(&back, &value, size) == 0);
        T_CHECK_EQ(shmkit_cell_apply(bytes + 8, type, SHMKIT_EXCHANGE,
                                     SHMKIT_ACQ_REL, value, &back),
                   0);
        T_CHECK(memcmp(&back, &value, size) == 0);
        for (i = 0; i < sizeof bytes; i++)
            T_CHECK((i >= 8 && i < 8 + size) || bytes[i] == 0xee);
    }
}

static void
bool_is_0_or_1(void)
{
    unsigned char cell = 7;
    shmkit_scalar value;

    T_CHECK_EQ(shmkit_cell_load(&cell, SHMKIT_BOOL, SHMKIT_RELAXED, &value),
               0);
    T_CHECK_EQ(value.u8, 1);
    value.u8 = 200;
    T_CHECK_EQ(shmkit_cell_store(&cell, SHMKIT_BOOL, SHMKIT_RELAXED, value),
               0);
    T_CHECK_EQ(cell, 1);
    T_CHECK_EQ(shmkit_cell_apply(&cell, SHMKIT_BOOL, SHMKIT_XOR,
                                 SHMKIT_SEQ_CST, value, &value),
               0);
    T_CHECK_EQ(cell, 0);
    T_CHECK_EQ(value.u8, 1);
}

/* ---- operations ---- */

static int64_t
as_signed(uint64_t bits, size_t size)
{
    unsigned rest = (unsigned)(64 - 8 * size);

    return (int64_t)(bits << rest) >> rest;
}

static uint64_t
mask_of(size_t size)
{
    return size == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
}

static uint64_t
model(uint32_t operation, int is_signed, size_t size, uint64_t a, uint64_t b)
{
    int less = is_signed ? as_signed(a, size) < as_signed(b, size) : a < b;

    switch (operation) {
        case SHMKIT_ADD:
            return (a + b) & mask_of(size);
        case SHMKIT_SUB:
            return (a - b) & mask_of(size);
        case SHMKIT_AND:
            return a & b;
        case SHMKIT_OR:
            return a | b;
        case SHMKIT_XOR:
            return a ^ b;
        case SHMKIT_MIN:
            return less ? a : b;
        case SHMKIT_MAX:
            return less ? b : a;
        default:
            return b;
    }
}

static uint64_t
bits_of(const void *p, size_t size)
{
    switch (size) {
        case 1:
            return *(const uint8_t *)p;
        case 2:
            return *(const uint16_t *)p;
        case 4:
            return *(const uint32_t *)p;
        default:
            return *(const uint64_t *)p;
    }
}

static shmkit_scalar
scalar(uint64_t bits, size_t size)
{
    shmkit_scalar value = {.u64 = 0};

    if (size == 1)
        value.u8 = (uint8_t)bits;
    else if (size == 2)
        value.u16 = (uint16_t)bits;
    else if (size == 4)
        value.u32 = (uint32_t)bits;
    else
        value.u64 = bits;
    return value;
}

static void
check_operation(uint32_t type, uint32_t operation, uint64_t a, uint64_t b)
{
    size_t size = shmkit_type_size(type);
    int is_signed = type <= SHMKIT_INT64;
    shmkit_scalar cell, old;

    a &= mask_of(size);
    b &= mask_of(size);
    cell = scalar(a, size);
    T_CHECK_EQ(shmkit_cell_apply(&cell, type, operation, SHMKIT_SEQ_CST,
                                 scalar(b, size), &old),
               0);
    T_CHECK_EQ(bits_of(&old, size), a);
    T_CHECK_EQ(bits_of(&cell, size), model(operation, is_signed, size, a, b));
}

static void
integers_as_in_c(void)
{
    static const uint64_t values[] = {
        0,          1,
        2,          0x7f,
        0x80,       0xff,
        0x7fff,     0x8000,
        0xffff,     0x7fffffff,
        0x80000000, 0xffffffff,
        INT64_MAX,  UINT64_C(1) << 63,
        UINT64_MAX, UINT64_C(0x0123456789abcdef)};
    size_t n = sizeof values / sizeof *values, t, i, j;
    uint32_t operation;

    for (t = 0; t < INTEGER_TYPES; t++)
        for (operation = SHMKIT_ADD; operation <= SHMKIT_EXCHANGE; operation++)
            for (i = 0; i < n; i++)
                for (j = 0; j < n; j++)
                    check_operation(integer_types[t], operation, values[i],
                                    values[j]);
}

static double
real_result(uint32_t operation, double a, double b)
{
    shmkit_scalar cell = {.d = a}, operand = {.d = b}, old;

    T_CHECK_EQ(shmkit_cell_apply(&cell, SHMKIT_DOUBLE, operation,
                                 SHMKIT_RELAXED, operand, &old),
               0);
    T_CHECK_EQ(old.u64, ((shmkit_scalar){.d = a}).u64);
    return cell.d;
}

static float
float_result(uint32_t operation, float a, float b)
{
    shmkit_scalar cell = {.f = a}, operand = {.f = b};

    T_CHECK_EQ(shmkit_cell_apply(&cell, SHMKIT_FLOAT, operation,
                                 SHMKIT_RELAXED, operand, NULL),
               0);
    return cell.f;
}

static void
reals_as_in_c(void)
{
    double inf = (double)INFINITY;

    T_CHECK(real_result(SHMKIT_ADD, 0.1, 0.2) == 0.1 + 0.2);
    T_CHECK(real_result(SHMKIT_SUB, 1e300, -1e300) == 1e300 + 1e300);
    T_CHECK(isnan(real_result(SHMKIT_SUB, inf, inf)));
    T_CHECK(real_result(SHMKIT_MIN, -inf, 3) == -inf);
    T_CHECK(real_result(SHMKIT_MAX, -inf, 3) == 3);
    T_CHECK(float_result(SHMKIT_ADD, 16777216.0F, 1.0F) == 16777216.0F + 1.0F);
    T_CHECK(float_result(SHMKIT_ADD, 0.1F, 0.2F) == 0.1F + 0.2F);
    T_CHECK(float_result(SHMKIT_MAX, -1.5F, -2.5F) == -1.5F);
}

static void
nan_is_never_chosen(void)
{
    double nan = (double)NAN;
    uint32_t operation;

    for (operation = SHMKIT_MIN; operation <= SHMKIT_MAX; operation++) {
        T_CHECK(real_result(operation, nan, 2) == 2);
        T_CHECK(real_result(operation, 2, nan) == 2);
        T_CHECK(isnan(real_result(operation, nan, nan)));
        T_CHECK(float_result(operation, NAN, 2) == 2);
        T_CHECK(float_result(operation, 2, NAN) == 2);
    }
}

static void
operations_a_type_has_not(void)
{
    static const struct {
        uint32_t type, first, last;
    } refused[] = {
        {SHMKIT_BOOL, SHMKIT_ADD, SHMKIT_SUB},
        {SHMKIT_BOOL, SHMKIT_MIN, SHMKIT_MAX},
        {SHMKIT_FLOAT, SHMKIT_AND, SHMKIT_XOR},
        {SHMKIT_DOUBLE, SHMKIT_AND, SHMKIT_XOR},
        {SHMKIT_CHAR, SHMKIT_ADD, SHMKIT_MAX},
        {SHMKIT_WCHAR, SHMKIT_ADD, SHMKIT_MAX},
        {SHMKIT_INT32, 0, 0},
        {SHMKIT_INT32, SHMKIT_EXCHANGE + 1, SHMKIT_EXCHANGE + 3},
    };
    shmkit_scalar cell = {.u64 = 42}, one = {.u64 = 1};
    size_t i;
    uint32_t operation;

    for (i = 0; i < sizeof refused / sizeof *refused; i++) {
        for (operation = refused[i].first; operation <= refused[i].last;
             operation++)
            T_CHECK_EQ(shmkit_cell_apply(&cell, refused[i].type, operation,
                                         SHMKIT_SEQ_CST, one, NULL),
                       -EINVAL);
    }
    T_CHECK_EQ(cell.u64, 42);
}

static void
compare_exchange(void)
{
    size_t t;

    for (t = 0; t < INTEGER_TYPES; t++) {
        uint32_t type = integer_types[t];
        size_t size = shmkit_type_size(type);
        shmkit_scalar cell = scalar(5, size), expected = scalar(6, size);

        T_CHECK_EQ(shmkit_cell_compare_exchange(&cell, type, SHMKIT_SEQ_CST,
                                                &expected, scalar(9, size)),
                   0);
        T_CHECK_EQ(bits_of(&expected, size), 5);
        T_CHECK_EQ(bits_of(&cell, size), 5);
        T_CHECK_EQ(shmkit_cell_compare_exchange(&cell, type, SHMKIT_RELAXED,
                                                &expected, scalar(9, size)),
                   1);
        T_CHECK_EQ(bits_of(&cell, size), 9);
    }
}

/* Bit for bit: -0.0 is not 0.0, and a NaN is itself. */
static void
compare_exchange_of_reals(void)
{
    shmkit_scalar cell = {.d = -0.0}, expected = {.d = 0.0}, one = {.d = 1};

    T_CHECK_EQ(shmkit_cell_compare_exchange(&cell, SHMKIT_DOUBLE,
                                            SHMKIT_SEQ_CST, &expected, one),
               0);
    T_CHECK(signbit(expected.d));
    cell.d = (double)NAN;
    expected.d = (double)NAN;
    T_CHECK_EQ(shmkit_cell_compare_exchange(&cell, SHMKIT_DOUBLE,
                                            SHMKIT_SEQ_CST, &expected, one),
               1);
    T_CHECK(cell.d == 1);
}

static void
orders(void)
{
    shmkit_scalar cell = {.u64 = 1}, value = {.u64 = 1};
    uint32_t order;

    for (order = 0; order <= SHMKIT_SEQ_CST + 2; order++) {
        int load = order == SHMKIT_RELAXED || order == SHMKIT_ACQUIRE ||
                   order == SHMKIT_SEQ_CST;
        int store = order == SHMKIT_RELAXED || order == SHMKIT_RELEASE ||
                    order == SHMKIT_SEQ_CST;
        int both = order <= SHMKIT_SEQ_CST;

        T_CHECK_EQ(shmkit_cell_load(&cell, SHMKIT_INT64, order, &value),
                   load ? 0 : -EINVAL);
        T_CHECK_EQ(shmkit_cell_store(&cell, SHMKIT_INT64, order, value),
                   store ? 0 : -EINVAL);
        T_CHECK_EQ(shmkit_cell_apply(&cell, SHMKIT_INT64, SHMKIT_AND, order,
                                     value, NULL),
                   both ? 0 : -EINVAL);
        T_CHECK_EQ(shmkit_cell_compare_exchange(&cell, SHMKIT_INT64, order,
                                                &value, value),
                   both ? 1 : -EINVAL);
    }
}

/* A type from the other side is nonsense, or a cell is not aligned. */
static void
bad_types_and_addresses(void)
{
    static const uint32_t types[] = {0, SHMKIT_WCHAR + 1, 255, UINT32_MAX};
    _Alignas(8) unsigned char bytes[16] = {0};
    shmkit_scalar value = {.u64 = 7};
    uint32_t type;
    size_t i;

    for (i = 0; i < sizeof types / sizeof *types; i++) {
        T_CHECK_EQ(shmkit_cell_load(bytes, types[i], 0, &value), -EINVAL);
        T_CHECK_EQ(shmkit_cell_store(bytes, types[i], 0, value), -EINVAL);
        T_CHECK_EQ(
            shmkit_cell_wait(bytes, types[i], value, SHMKIT_TRY, NULL, &value),
            -EINVAL);
    }
    for (type = SHMKIT_BOOL; type <= SHMKIT_WCHAR; type++) {
        size_t size = shmkit_type_size(type);

        for (i = 1; i < size; i++) {
            T_CHECK_EQ(shmkit_cell_load(bytes + i, type, 0, &value), -EINVAL);
            T_CHECK_EQ(shmkit_cell_store(bytes + i, type, 0, value), -EINVAL);
            T_CHECK_EQ(shmkit_cell_apply(bytes + i, type, SHMKIT_EXCHANGE, 0,
                                         value, NULL),
                       -EINVAL);
        }
    }
    T_CHECK_EQ(shmkit_cell_wait(bytes, SHMKIT_INT32, value, SHMKIT_TRY,
                                (uint32_t *)(void *)(bytes + 9), &value),
               -EINVAL);
    T_CHECK_EQ(value.u64, 7);
    for (i = 0; i < sizeof bytes; i++)
        T_CHECK_EQ(bytes[i], 0);
}

/* ---- the inline functions, as symbols of the library ---- */

static void
symbols(void)
{
    int64_t (*volatile add)(int64_t *, int64_t, uint32_t) = shmkit_i64_add;
    uint32_t (*volatile xor)(uint32_t *, uint32_t, uint32_t) = shmkit_u32_xor;
    double (*volatile fadd)(double *, double, uint32_t) = shmkit_f64_add;
    int (*volatile cas)(int32_t *, int32_t *, int32_t) =
        shmkit_i32_compare_exchange;
    int64_t i64 = INT64_MAX;
    uint32_t u32 = 12;
    int32_t i32 = 3, expected = 4;
    double f64 = 0.5;

    T_CHECK_EQ(add(&i64, 1, SHMKIT_RELAXED), INT64_MAX);
    T_CHECK_EQ(i64, INT64_MIN);
    T_CHECK_EQ(xor(&u32, 10, SHMKIT_SEQ_CST), 12);
    T_CHECK_EQ(u32, 6);
    T_CHECK(fadd(&f64, 0.25, SHMKIT_ACQ_REL) == 0.5 && f64 == 0.75);
    T_CHECK_EQ(cas(&i32, &expected, 9), 0);
    T_CHECK_EQ(expected, 3);
    T_CHECK_EQ(cas(&i32, &expected, 9), 1);
    T_CHECK_EQ(i32, 9);
}

static void
inline_forms(void)
{
    int32_t i32 = 5;
    uint64_t u64 = 0xf0;
    double f64 = 0;

    shmkit_i32_store(&i32, -7, SHMKIT_RELEASE);
    T_CHECK_EQ(shmkit_i32_load(&i32, SHMKIT_ACQUIRE), -7);
    T_CHECK_EQ(shmkit_i32_sub(&i32, 3, SHMKIT_ACQ_REL), -7);
    T_CHECK_EQ(shmkit_i32_exchange(&i32, 1, SHMKIT_SEQ_CST), -10);
    T_CHECK_EQ(shmkit_u64_or(&u64, 0x0f, SHMKIT_RELAXED), 0xf0);
    T_CHECK_EQ(shmkit_u64_and(&u64, 0x3c, SHMKIT_RELAXED), 0xff);
    T_CHECK_EQ(shmkit_u64_load(&u64, SHMKIT_SEQ_CST), 0x3c);
    shmkit_f64_store(&f64, 2.5, SHMKIT_SEQ_CST);
    T_CHECK(shmkit_f64_load(&f64, SHMKIT_RELAXED) == 2.5);
}

/* ---- many at once ---- */

struct crowd {
    shmkit_scalar cell[SHMKIT_WCHAR + 1];
    int64_t inline_sum;
    double inline_real;
    uint64_t highest;
};

/* Sums of whole numbers are exact in a float too, up to 2^24. */
static void
add_ones(struct crowd *crowd, uint64_t first)
{
    shmkit_scalar one;
    uint64_t i;
    uint32_t type;

    for (i = 0; i < ROUNDS; i++) {
        for (type = SHMKIT_INT8; type <= SHMKIT_UINT64; type++) {
            one = scalar(1, shmkit_type_size(type));
            T_CHECK_EQ(shmkit_cell_apply(&crowd->cell[type], type, SHMKIT_ADD,
                                         SHMKIT_RELAXED, one, NULL),
                       0);
        }
        one.f = 1;
        T_CHECK_EQ(shmkit_cell_apply(&crowd->cell[SHMKIT_FLOAT], SHMKIT_FLOAT,
                                     SHMKIT_ADD, SHMKIT_RELAXED, one, NULL),
                   0);
        one.d = 1;
        T_CHECK_EQ(
            shmkit_cell_apply(&crowd->cell[SHMKIT_DOUBLE], SHMKIT_DOUBLE,
                              SHMKIT_ADD, SHMKIT_RELAXED, one, NULL),
            0);
        shmkit_i64_add(&crowd->inline_sum, 1, SHMKIT_RELAXED);
        shmkit_f64_add(&crowd->inline_real, 1, SHMKIT_RELAXED);
        one.u64 = first + i;
        T_CHECK_EQ(shmkit_cell_apply(&crowd->highest, SHMKIT_UINT64,
                                     SHMKIT_MAX, SHMKIT_RELAXED, one, NULL),
                   0);
    }
}

static void
check_crowd(const struct crowd *crowd, uint64_t total)
{
    uint32_t type;

    for (type = SHMKIT_INT8; type <= SHMKIT_UINT64; type++) {
        size_t size = shmkit_type_size(type);

        T_CHECK_EQ(bits_of(&crowd->cell[type], size), total & mask_of(size));
    }
    T_CHECK(crowd->cell[SHMKIT_FLOAT].f == (float)total);
    T_CHECK(crowd->cell[SHMKIT_DOUBLE].d == (double)total);
    T_CHECK_EQ(crowd->inline_sum, (int64_t)total);
    T_CHECK(crowd->inline_real == (double)total);
    T_CHECK_EQ(crowd->highest, total - 1);
}

struct member {
    struct crowd *crowd;
    uint64_t first;
};

static void *
add_in_thread(void *arg)
{
    struct member *member = arg;

    add_ones(member->crowd, member->first);
    return NULL;
}

static void
threads_lose_nothing(void)
{
    struct crowd crowd = {.inline_sum = 0};
    struct member member[THREADS];
    pthread_t thread[THREADS];
    uint64_t i;

    for (i = 0; i < THREADS; i++) {
        member[i] = (struct member){&crowd, i * ROUNDS};
        T_CHECK_EQ(pthread_create(&thread[i], NULL, add_in_thread, &member[i]),
                   0);
    }
    for (i = 0; i < THREADS; i++)
        T_CHECK_EQ(pthread_join(thread[i], NULL), 0);
    check_crowd(&crowd, THREADS * ROUNDS);
}

static int
add_in_process(void *arg)
{
    add_in_thread(arg);
    return 0;
}

static void
processes_lose_nothing(void)
{
    struct crowd *crowd = shared_memory(sizeof *crowd);
    struct member member[THREADS];
    pid_t pid[THREADS];
    uint64_t i;

    for (i = 0; i < THREADS; i++) {
        member[i] = (struct member){crowd, i * ROUNDS};
        pid[i] = t_fork_raw(add_in_process, &member[i]);
    }
    for (i = 0; i < THREADS; i++)
        T_CHECK_EQ(t_wait(pid[i]), 0);
    check_crowd(crowd, THREADS * ROUNDS);
}

/* Message passing: what is written before a release store is seen after the
 * acquire load that reads it. */
struct message {
    uint64_t data[8];
    uint32_t ready;
};

static void *
send_messages(void *arg)
{
    struct message *m = arg;
    shmkit_scalar value = {.u64 = 0};
    uint32_t i, j;

    for (i = 1; i <= ROUNDS; i++) {
        for (j = 0; j < 8; j++)
            m->data[j] = i;
        value.u32 = i;
        T_CHECK_EQ(
            shmkit_cell_store(&m->ready, SHMKIT_UINT32, SHMKIT_RELEASE, value),
            0);
        while (value.u32 != 0)
            T_CHECK_EQ(shmkit_cell_load(&m->ready, SHMKIT_UINT32,
                                        SHMKIT_ACQUIRE, &value),
                       0);
    }
    return NULL;
}

static void
release_and_acquire(void)
{
    struct message m = {.ready = 0};
    shmkit_scalar value, zero = {.u64 = 0};
    pthread_t thread;
    uint32_t i, j;

    T_CHECK_EQ(pthread_create(&thread, NULL, send_messages, &m), 0);
    for (i = 1; i <= ROUNDS; i++) {
        do
            T_CHECK_EQ(shmkit_cell_load(&m.ready, SHMKIT_UINT32,
                                        SHMKIT_ACQUIRE, &value),
                       0);
        while (value.u32 != i);
        for (j = 0; j < 8; j++)
            T_CHECK_EQ(m.data[j], i);
        T_CHECK_EQ(
            shmkit_cell_store(&m.ready, SHMKIT_UINT32, SHMKIT_RELEASE, zero),
            0);
    }
    T_CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- waiting ---- */

struct waiting {
    _Alignas(8) unsigned char bytes[16];
    uint32_t changes;
    uint32_t with; /* use `changes` */
    uint32_t type, at;
    shmkit_scalar got;
};

static void *
wait_in_thread(void *arg)
{
    struct waiting *w = arg;
    shmkit_scalar seen = {.u64 = 0};

    T_CHECK_EQ(
        shmkit_cell_wait(w->bytes + w->at, w->type, seen, SHMKIT_FOREVER,
                         w->with ? &w->changes : NULL, &w->got),
        0);
    return NULL;
}

static void
change_and_tell(struct waiting *w, shmkit_scalar value)
{
    T_CHECK_EQ(
        shmkit_cell_store(w->bytes + w->at, w->type, SHMKIT_SEQ_CST, value),
        0);
    if (w->with)
        shmkit_cell_changed(&w->changes);
    else
        shmkit_cell_wake(w->bytes + w->at);
}

static void
wait_and_wake(uint32_t type, uint32_t at, uint32_t with)
{
    struct waiting w = {.type = type, .at = at, .with = with};
    shmkit_scalar value = scalar(3, shmkit_type_size(type));
    pthread_t thread;

    T_CHECK_EQ(pthread_create(&thread, NULL, wait_in_thread, &w), 0);
    usleep(3000);
    change_and_tell(&w, value);
    T_CHECK_EQ(pthread_join(thread, NULL), 0);
    T_CHECK_EQ(bits_of(&w.got, shmkit_type_size(type)), 3);
}

/* Cells of 1, 2, 4 and 8 bytes at every place in their word. */
static void
cells_of_every_size_wake(void)
{
    static const uint32_t types[] = {SHMKIT_UINT8, SHMKIT_UINT16,
                                     SHMKIT_UINT32, SHMKIT_UINT64};
    uint32_t i, at, with;

    for (with = 0; with <= 1; with++)
        for (i = 0; i < 4; i++)
            for (at = 0; at < 8; at += 1u << i)
                wait_and_wake(types[i], at, with);
}

/* Nobody tells: the waiter looks by itself.  The second half of an 8-byte cell
 * is not in the futex word. */
static void
silent_changes_are_seen(void)
{
    struct waiting w = {.type = SHMKIT_UINT64};
    shmkit_scalar value = {.u64 = UINT64_C(1) << 40};
    pthread_t thread;

    T_CHECK_EQ(pthread_create(&thread, NULL, wait_in_thread, &w), 0);
    usleep(3000);
    T_CHECK_EQ(
        shmkit_cell_store(w.bytes, SHMKIT_UINT64, SHMKIT_RELEASE, value), 0);
    T_CHECK_EQ(pthread_join(thread, NULL), 0);
    T_CHECK(w.got.u64 == UINT64_C(1) << 40);
}

/* A sleeper that never looks by itself, so that only a wake-up ends it. */
static void *
sleep_on_word(void *arg)
{
    uint32_t *word = arg;
    uint32_t seen = __atomic_or_fetch(word, 1, __ATOMIC_SEQ_CST);

    (void)syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
    return NULL;
}

static void
writers_wake(void)
{
    uint32_t words[4] = {0};
    pthread_t thread[4];
    size_t i;

    for (i = 0; i < 4; i++)
        T_CHECK_EQ(pthread_create(&thread[i], NULL, sleep_on_word, &words[i]),
                   0);
    for (i = 0; i < 4; i++)
        while (__atomic_load_n(&words[i], __ATOMIC_ACQUIRE) != 1)
            usleep(1000);
    usleep(20000); /* asleep by now, or the test proves less */
    shmkit_cell_changed(&words[0]);
    shmkit_cell_wake(&words[1]);                      /* 4 bytes, or 8 */
    shmkit_cell_wake((uint16_t *)&words[2] + 1);      /* the second half */
    shmkit_cell_wake((unsigned char *)&words[3] + 3); /* the last byte */
    for (i = 0; i < 4; i++)
        T_CHECK_EQ(pthread_join(thread[i], NULL), 0);
}

/* Without a waiter the word stays as it is; a dead waiter's bit costs one
 * change of it. */
static void
changes_word(void)
{
    shmkit_scalar cell = {.u64 = 0}, value;
    uint32_t changes = 0;

    shmkit_cell_changed(&changes);
    T_CHECK_EQ(changes, 0);
    T_CHECK_EQ(shmkit_cell_wait(&cell, SHMKIT_INT32, cell,
                                shmkit_deadline(0.001), &changes, &value),
               -ETIMEDOUT);
    T_CHECK_EQ(changes, 1);
    shmkit_cell_changed(&changes);
    T_CHECK_EQ(changes, 2);
    shmkit_cell_changed(&changes);
    T_CHECK_EQ(changes, 2);
    changes = UINT32_MAX;
    shmkit_cell_changed(&changes);
    T_CHECK_EQ(changes, 0);
}

static void
deadlines(void)
{
    shmkit_scalar cell = {.i32 = 5}, seen = {.i32 = 5}, value = {.i32 = 77};
    int64_t until = shmkit_deadline(0.03);

    T_CHECK_EQ(
        shmkit_cell_wait(&cell, SHMKIT_INT32, seen, SHMKIT_TRY, NULL, &value),
        -ETIMEDOUT);
    T_CHECK_EQ(
        shmkit_cell_wait(&cell, SHMKIT_INT32, seen, until, NULL, &value),
        -ETIMEDOUT);
    T_CHECK(shmkit_deadline(1e-9) >= until);
    T_CHECK_EQ(value.i32, 77);
    seen.i32 = 4;
    T_CHECK_EQ(
        shmkit_cell_wait(&cell, SHMKIT_INT32, seen, SHMKIT_TRY, NULL, &value),
        0);
    T_CHECK_EQ(value.i32, 5);
}

/* The neighbours of a byte change all the time: that is no change of it. */
static void
neighbours_are_not_the_cell(void)
{
    _Alignas(4) unsigned char bytes[4] = {1, 2, 3, 4};
    shmkit_scalar seen = {.u8 = 2}, value;

    T_CHECK_EQ(shmkit_cell_wait(&bytes[1], SHMKIT_UINT8, seen,
                                shmkit_deadline(0.01), NULL, &value),
               -ETIMEDOUT);
    bytes[0] = 9;
    T_CHECK_EQ(shmkit_cell_wait(&bytes[1], SHMKIT_UINT8, seen, SHMKIT_TRY,
                                NULL, &value),
               -ETIMEDOUT);
}

static int
give_up(void *arg)
{
    ++*(int *)arg;
    return 1;
}

static void
on_signal(int signal)
{
    (void)signal;
}

static void *
signal_until_done(void *arg)
{
    struct member *member = arg;
    pthread_t target = *(pthread_t *)(void *)member->crowd;

    while (__atomic_load_n(&member->first, __ATOMIC_ACQUIRE) == 0) {
        (void)pthread_kill(target, SIGUSR1);
        usleep(1000);
    }
    return NULL;
}

static void
hook_ends_a_wait(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t self = pthread_self(), thread;
    struct member member = {(struct crowd *)(void *)&self, 0};
    shmkit_scalar cell = {.u64 = 0}, value;
    int calls = 0;

    T_CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    shmkit_wait_hook(give_up, &calls);
    T_CHECK_EQ(pthread_create(&thread, NULL, signal_until_done, &member), 0);
    T_CHECK_EQ(shmkit_cell_wait(&cell, SHMKIT_INT64, cell, SHMKIT_FOREVER,
                                NULL, &value),
               -EINTR);
    T_CHECK_EQ(calls, 1);
    __atomic_store_n(&member.first, 1, __ATOMIC_RELEASE);
    T_CHECK_EQ(pthread_join(thread, NULL), 0);
    shmkit_wait_hook(NULL, NULL);
}

/* Two processes hand a number to and fro, each woken by the other. */
#define HANDOVERS 4000

static void
play(struct waiting *w, int64_t first)
{
    int64_t *cell = (int64_t *)(void *)w->bytes;
    shmkit_scalar seen, value;
    int64_t i;

    for (i = first; i < HANDOVERS; i += 2) {
        while ((seen.i64 = shmkit_i64_load(cell, SHMKIT_ACQUIRE)) != i)
            T_CHECK_EQ(shmkit_cell_wait(cell, SHMKIT_INT64, seen,
                                        SHMKIT_FOREVER, &w->changes, &value),
                       0);
        shmkit_i64_add(cell, 1, SHMKIT_SEQ_CST);
        shmkit_cell_changed(&w->changes);
    }
}

static int
play_second(void *arg)
{
    play(arg, 1);
    return 0;
}

static void
processes_play_ping_pong(void)
{
    struct waiting *w = shared_memory(sizeof *w);
    pid_t pid = t_fork_raw(play_second, w);

    play(w, 0);
    T_CHECK_EQ(t_wait(pid), 0);
    T_CHECK_EQ(*(int64_t *)(void *)w->bytes, HANDOVERS);
}

static int
wait_in_process(void *arg)
{
    wait_in_thread(arg);
    return 1;
}

/* The one who sleeps is killed: the others go on. */
static void
killed_waiter_harms_nobody(void)
{
    struct waiting *w = shared_memory(sizeof *w);
    pthread_t thread;
    pid_t pid;

    w->type = SHMKIT_INT32;
    w->with = 1;
    pid = t_fork_raw(wait_in_process, w);
    while ((__atomic_load_n(&w->changes, __ATOMIC_ACQUIRE) & 1) == 0)
        usleep(1000);
    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    T_CHECK_EQ(pthread_create(&thread, NULL, wait_in_thread, w), 0);
    change_and_tell(w, (shmkit_scalar){.i32 = 1});
    T_CHECK_EQ(pthread_join(thread, NULL), 0);
    T_CHECK_EQ(w->got.i32, 1);
}

/* ---- arrays ---- */

static void
array_bounds(void)
{
    uint32_t data[6] = {0xeeeeeeee, 10, 11, 12, 13, 0xeeeeeeee};
    struct shmkit_array a = {data + 1, 4, SHMKIT_UINT32, 0};
    static const uint64_t beyond[] = {4, 5, INT64_MAX, UINT64_MAX,
                                      UINT64_MAX / 4 + 1};
    shmkit_scalar value = {.u32 = 7}, old;
    uint32_t copy[4];
    size_t i;

    T_CHECK_EQ(shmkit_array_get(&a, 3, &value), 0);
    T_CHECK_EQ(value.u32, 13);
    T_CHECK_EQ(shmkit_array_set(&a, 0, value), 0);
    T_CHECK_EQ(
        shmkit_array_apply(&a, 1, SHMKIT_ADD, SHMKIT_RELAXED, value, &old), 0);
    T_CHECK_EQ(old.u32, 11);
    T_CHECK_EQ(data[2], 24);
    for (i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        T_CHECK_EQ(shmkit_array_get(&a, beyond[i], &value), -ERANGE);
        T_CHECK_EQ(shmkit_array_set(&a, beyond[i], value), -ERANGE);
        T_CHECK_EQ(
            shmkit_array_apply(&a, beyond[i], SHMKIT_ADD, 0, value, NULL),
            -ERANGE);
        T_CHECK_EQ(shmkit_array_read(&a, beyond[i], 1, copy), -ERANGE);
        T_CHECK_EQ(shmkit_array_write(&a, 1, beyond[i], copy), -ERANGE);
    }
    T_CHECK_EQ(value.u32, 13);
    T_CHECK(data[0] == 0xeeeeeeee && data[5] == 0xeeeeeeee);
}

static void
array_bulk(void)
{
    int16_t data[8] = {0}, from[5] = {1, -2, 3, -4, 5}, to[5] = {0};
    struct shmkit_array a = {data, 8, SHMKIT_INT16, 0};

    T_CHECK_EQ(shmkit_array_write(&a, 2, 5, from), 0);
    T_CHECK_EQ(shmkit_array_read(&a, 2, 5, to), 0);
    T_CHECK(memcmp(from, to, sizeof from) == 0);
    T_CHECK(data[1] == 0 && data[7] == 0);
    T_CHECK_EQ(shmkit_array_read(&a, 8, 0, to), 0);
    T_CHECK_EQ(shmkit_array_write(&a, 0, 0, NULL), 0);
    T_CHECK_EQ(shmkit_array_read(&a, 9, 0, to), -ERANGE);
    T_CHECK_EQ(shmkit_array_read(&a, 1, UINT64_MAX, to), -ERANGE);
    T_CHECK_EQ(shmkit_array_write(&a, 4, 5, from), -ERANGE);
}

/* Lengths and types that another process may have written. */
static void
hostile_arrays(void)
{
    uint64_t data[4] = {1, 2, 3, 4}, size = 99, copy[4];
    struct shmkit_array a = {data, UINT64_MAX, SHMKIT_UINT64, 0};
    shmkit_scalar value = {.u64 = 5};

    /* so far out that index times size would come round to the start */
    T_CHECK_EQ(shmkit_array_get(&a, UINT64_C(1) << 61, &value), -ERANGE);
    T_CHECK_EQ(shmkit_array_set(&a, UINT64_MAX - 1, value), -ERANGE);
    T_CHECK_EQ(shmkit_array_read(&a, 0, UINT64_C(1) << 61, copy), -ERANGE);
    a.type = 99;
    T_CHECK_EQ(shmkit_array_get(&a, 0, &value), -EINVAL);
    T_CHECK_EQ(shmkit_array_read(&a, 0, 0, copy), -EINVAL);
    a.type = SHMKIT_UINT64;
    a.data = (char *)data + 4;
    a.length = 2;
    T_CHECK_EQ(shmkit_array_get(&a, 0, &value), -EINVAL);
    T_CHECK_EQ(value.u64, 5);

    T_CHECK_EQ(shmkit_array_size(SHMKIT_UINT64, UINT64_C(1) << 60, &size),
               -EOVERFLOW);
    T_CHECK_EQ(shmkit_array_size(SHMKIT_UINT64, UINT64_MAX, &size),
               -EOVERFLOW);
    T_CHECK_EQ(shmkit_array_size(0, 1, &size), -EINVAL);
    T_CHECK_EQ(size, 99);
    T_CHECK_EQ(shmkit_array_size(SHMKIT_UINT16, 5, &size), 0);
    T_CHECK_EQ(size, 10);
    T_CHECK_EQ(shmkit_array_size(SHMKIT_UINT16, 0, &size), 0);
    T_CHECK_EQ(size, 0);
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(sizes),
        UNIT_CASE(keeps_to_its_bytes),
        UNIT_CASE(bool_is_0_or_1),
        UNIT_CASE(integers_as_in_c),
        UNIT_CASE(reals_as_in_c),
        UNIT_CASE(nan_is_never_chosen),
        UNIT_CASE(operations_a_type_has_not),
        UNIT_CASE(compare_exchange),
        UNIT_CASE(compare_exchange_of_reals),
        UNIT_CASE(orders),
        UNIT_CASE(bad_types_and_addresses),
        UNIT_CASE(symbols),
        UNIT_CASE(inline_forms),
        UNIT_CASE(threads_lose_nothing),
        UNIT_CASE(processes_lose_nothing),
        UNIT_CASE(release_and_acquire),
        UNIT_CASE(cells_of_every_size_wake),
        UNIT_CASE(silent_changes_are_seen),
        UNIT_CASE(writers_wake),
        UNIT_CASE(changes_word),
        UNIT_CASE(deadlines),
        UNIT_CASE(neighbours_are_not_the_cell),
        UNIT_CASE(hook_ends_a_wait),
        UNIT_CASE(processes_play_ping_pong),
        UNIT_CASE(killed_waiter_harms_nobody),
        UNIT_CASE(array_bounds),
        UNIT_CASE(array_bulk),
        UNIT_CASE(hostile_arrays),
    };

    return UNIT_MAIN("value", "", cases);
}
