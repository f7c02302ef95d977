/* SPDX-License-Identifier: MIT */
/* value.c - typed cells, and arrays of them: the functions that learn the type
 * at run time.
 *
 * In shared memory lie the cells alone, plain numbers of 1, 2, 4 or 8 bytes,
 * and, where the user wants one, a word `changes`:
 *
 *     { changes : 31 | somebody waits : 1 }
 *
 * Every store to a cell is one instruction or one compare-exchange, so a kill
 * leaves the old or the new value, and there is nothing to repair.
 *
 * A cell is worked on as the unsigned integer of its size ("bits"); combine()
 * alone knows what the bits mean.  Integer addition is the processor's own
 * fetch-and-add, everything else a compare-exchange loop, in which somebody
 * always makes progress.  Orders: relaxed and one-sided loads and stores are
 * made as told; a read-modify-write is always sequentially consistent, which
 * costs nothing on x86 and next to nothing on ARM.
 *
 * Waiting with `changes`: the waiter sets bit 0, remembers the word, looks at
 * the cell once more, and sleeps while the word is what it remembers.  Who has
 * changed a cell looks at bit 0 afterwards; if it is set he adds 1, which
 * clears it and changes the word, and wakes all.  Either he sees the bit, or
 * the waiter sees the new value.  A waiter killed asleep leaves the bit: one
 * superfluous system call.  A writer killed before his wake-up leaves sleepers
 * that look again at their next tick.
 *
 * Without it the futex is the aligned 32-bit word around the cell.  Its other
 * bytes may be somebody else's: their changes cost a look.  The upper half of
 * an 8-byte cell is not in it: a change of that half alone, between the look
 * and the sleep, is seen at the next tick. */
#include <errno.h>
#include <shmkit/value.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/copy.h"
#include "base/trace.h"
#include "sync/wait.h"

enum kind {
    KIND_NONE,
    KIND_BOOL,
    KIND_SIGNED,
    KIND_UNSIGNED,
    KIND_REAL,
    KIND_TEXT
};

struct type {
    uint8_t size, kind;
};

static const struct type types[] = {
    [SHMKIT_BOOL] = {1, KIND_BOOL},
    [SHMKIT_INT8] = {1, KIND_SIGNED},
    [SHMKIT_INT16] = {2, KIND_SIGNED},
    [SHMKIT_INT32] = {4, KIND_SIGNED},
    [SHMKIT_INT64] = {8, KIND_SIGNED},
    [SHMKIT_UINT8] = {1, KIND_UNSIGNED},
    [SHMKIT_UINT16] = {2, KIND_UNSIGNED},
    [SHMKIT_UINT32] = {4, KIND_UNSIGNED},
    [SHMKIT_UINT64] = {8, KIND_UNSIGNED},
    [SHMKIT_FLOAT] = {sizeof(float), KIND_REAL},
    [SHMKIT_DOUBLE] = {sizeof(double), KIND_REAL},
    [SHMKIT_CHAR] = {1, KIND_TEXT},
    [SHMKIT_WCHAR] = {sizeof(wchar_t), KIND_TEXT},
};

static struct type
type_of(uint32_t type)
{
    static const struct type none;

    return type < sizeof types / sizeof *types ? types[type] : none;
}

size_t
shmkit_type_size(uint32_t type)
{
    return type_of(type).size;
}

/* ---- bits ---- */

static uint64_t
bits_of(const shmkit_scalar *value, struct type type)
{
    switch (type.size) {
        case 1:
            return type.kind == KIND_BOOL ? value->u8 != 0 : value->u8;
        case 2:
            return value->u16;
        case 4:
            return value->u32;
        default:
            return value->u64;
    }
}

static shmkit_scalar
scalar_of(uint64_t bits, struct type type)
{
    shmkit_scalar value = {.u64 = 0};

    switch (type.size) {
        case 1:
            value.u8 = type.kind == KIND_BOOL ? bits != 0 : (uint8_t)bits;
            break;
        case 2:
            value.u16 = (uint16_t)bits;
            break;
        case 4:
            value.u32 = (uint32_t)bits;
            break;
        default:
            value.u64 = bits;
    }
    return value;
}

static uint64_t
load_relaxed(const void *cell, size_t size)
{
    switch (size) {
        case 1:
            return __atomic_load_n((const uint8_t *)cell, __ATOMIC_RELAXED);
        case 2:
            return __atomic_load_n((const uint16_t *)cell, __ATOMIC_RELAXED);
        case 4:
            return __atomic_load_n((const uint32_t *)cell, __ATOMIC_RELAXED);
        default:
            return __atomic_load_n((const uint64_t *)cell, __ATOMIC_RELAXED);
    }
}

static uint64_t
load_seq_cst(const void *cell, size_t size)
{
    switch (size) {
        case 1:
            return __atomic_load_n((const uint8_t *)cell, __ATOMIC_SEQ_CST);
        case 2:
            return __atomic_load_n((const uint16_t *)cell, __ATOMIC_SEQ_CST);
        case 4:
            return __atomic_load_n((const uint32_t *)cell, __ATOMIC_SEQ_CST);
        default:
            return __atomic_load_n((const uint64_t *)cell, __ATOMIC_SEQ_CST);
    }
}

static void
store_relaxed(void *cell, size_t size, uint64_t bits)
{
    switch (size) {
        case 1:
            __atomic_store_n((uint8_t *)cell, (uint8_t)bits, __ATOMIC_RELAXED);
            break;
        case 2:
            __atomic_store_n((uint16_t *)cell, (uint16_t)bits,
                             __ATOMIC_RELAXED);
            break;
        case 4:
            __atomic_store_n((uint32_t *)cell, (uint32_t)bits,
                             __ATOMIC_RELAXED);
            break;
        default:
            __atomic_store_n((uint64_t *)cell, bits, __ATOMIC_RELAXED);
    }
}

static void
store_release(void *cell, size_t size, uint64_t bits)
{
    switch (size) {
        case 1:
            __atomic_store_n((uint8_t *)cell, (uint8_t)bits, __ATOMIC_RELEASE);
            break;
        case 2:
            __atomic_store_n((uint16_t *)cell, (uint16_t)bits,
                             __ATOMIC_RELEASE);
            break;
        case 4:
            __atomic_store_n((uint32_t *)cell, (uint32_t)bits,
                             __ATOMIC_RELEASE);
            break;
        default:
            __atomic_store_n((uint64_t *)cell, bits, __ATOMIC_RELEASE);
    }
}

static uint64_t
exchange(void *cell, size_t size, uint64_t bits)
{
    switch (size) {
        case 1:
            return __atomic_exchange_n((uint8_t *)cell, (uint8_t)bits,
                                       __ATOMIC_SEQ_CST);
        case 2:
            return __atomic_exchange_n((uint16_t *)cell, (uint16_t)bits,
                                       __ATOMIC_SEQ_CST);
        case 4:
            return __atomic_exchange_n((uint32_t *)cell, (uint32_t)bits,
                                       __ATOMIC_SEQ_CST);
        default:
            return __atomic_exchange_n((uint64_t *)cell, bits,
                                       __ATOMIC_SEQ_CST);
    }
}

static uint64_t
fetch_add(void *cell, size_t size, uint64_t bits)
{
    switch (size) {
        case 1:
            return __atomic_fetch_add((uint8_t *)cell, (uint8_t)bits,
                                      __ATOMIC_SEQ_CST);
        case 2:
            return __atomic_fetch_add((uint16_t *)cell, (uint16_t)bits,
                                      __ATOMIC_SEQ_CST);
        case 4:
            return __atomic_fetch_add((uint32_t *)cell, (uint32_t)bits,
                                      __ATOMIC_SEQ_CST);
        default:
            return __atomic_fetch_add((uint64_t *)cell, bits,
                                      __ATOMIC_SEQ_CST);
    }
}

#define CAS(integer)                                                          \
    do {                                                                      \
        integer old = (integer)*expected;                                     \
        bool done = __atomic_compare_exchange_n(                              \
            (integer *)cell, &old, (integer)desired, false, __ATOMIC_SEQ_CST, \
            __ATOMIC_SEQ_CST);                                                \
        *expected = old;                                                      \
        return done;                                                          \
    } while (0)

static bool
cas(void *cell, size_t size, uint64_t *expected, uint64_t desired)
{
    switch (size) {
        case 1:
            CAS(uint8_t);
        case 2:
            CAS(uint16_t);
        case 4:
            CAS(uint32_t);
        default:
            CAS(uint64_t);
    }
}

/* ---- what the bits mean ---- */

static int64_t
sign_extended(uint64_t bits, size_t size)
{
    unsigned rest = (unsigned)(64 - 8 * size);

    return (int64_t)(bits << rest) >> rest;
}

static bool
is_less(uint64_t a, uint64_t b, struct type type)
{
    if (type.kind == KIND_SIGNED)
        return sign_extended(a, type.size) < sign_extended(b, type.size);
    return a < b;
}

/* A NaN is less than nothing and greater than nothing; `a` != `a` alone. */
static double
combine_reals(uint32_t operation, double a, double b)
{
    switch (operation) {
        case SHMKIT_ADD:
            return a + b;
        case SHMKIT_SUB:
            return a - b;
        case SHMKIT_MIN:
            return b < a || a != a ? b : a;
        default:
            return b > a || a != a ? b : a;
    }
}

/* A float sum is rounded once more than in float arithmetic, to the same
 * result: double has more than twice its digits. */
static uint64_t
combine_real_bits(struct type type, uint32_t operation, uint64_t a, uint64_t b)
{
    shmkit_scalar x = scalar_of(a, type), y = scalar_of(b, type);

    if (type.size == sizeof(float))
        x.f = (float)combine_reals(operation, (double)x.f, (double)y.f);
    else
        x.d = combine_reals(operation, x.d, y.d);
    return bits_of(&x, type);
}

static uint64_t
combine(struct type type, uint32_t operation, uint64_t old, uint64_t operand)
{
    if (type.kind == KIND_REAL)
        return combine_real_bits(type, operation, old, operand);
    switch (operation) {
        case SHMKIT_AND:
            return old & operand;
        case SHMKIT_OR:
            return old | operand;
        case SHMKIT_XOR:
            return old ^ operand;
        case SHMKIT_MIN:
            return is_less(operand, old, type) ? operand : old;
        default:
            return is_less(old, operand, type) ? operand : old;
    }
}

static bool
has_operation(struct type type, uint32_t operation)
{
    bool logic = operation == SHMKIT_AND || operation == SHMKIT_OR ||
                 operation == SHMKIT_XOR;

    if (operation < SHMKIT_ADD || operation > SHMKIT_EXCHANGE)
        return false;
    switch (type.kind) {
        case KIND_SIGNED:
        case KIND_UNSIGNED:
            return true;
        case KIND_BOOL:
            return logic || operation == SHMKIT_EXCHANGE;
        case KIND_REAL:
            return !logic;
        default:
            return operation == SHMKIT_EXCHANGE;
    }
}

static uint64_t
apply(void *cell, struct type type, uint32_t operation, uint64_t operand)
{
    bool integer = type.kind == KIND_SIGNED || type.kind == KIND_UNSIGNED;
    uint64_t old;

    if (operation == SHMKIT_EXCHANGE)
        return exchange(cell, type.size, operand);
    if (integer && operation == SHMKIT_ADD)
        return fetch_add(cell, type.size, operand);
    if (integer && operation == SHMKIT_SUB)
        return fetch_add(cell, type.size, UINT64_C(0) - operand);
    old = load_relaxed(cell, type.size);
    while (!cas(cell, type.size, &old, combine(type, operation, old, operand)))
        continue;
    return old;
}

/* ---- cells ---- */

static int
check_cell(const void *cell, uint32_t type, struct type *ret_type)
{
    *ret_type = type_of(type);
    if (ret_type->size == 0 || ((uintptr_t)cell & (ret_type->size - 1u)) != 0)
        return -EINVAL;
    return 0;
}

int
shmkit_cell_load(const void *cell, uint32_t type, uint32_t order,
                 shmkit_scalar *ret_value)
{
    struct type t;
    uint64_t bits;

    if (check_cell(cell, type, &t) < 0)
        return -EINVAL;
    switch (order) {
        case SHMKIT_RELAXED:
            bits = load_relaxed(cell, t.size);
            break;
        case SHMKIT_ACQUIRE:
        case SHMKIT_SEQ_CST:
            bits = load_seq_cst(cell, t.size);
            SHMKITI_TRACE_ACQUIRE(cell);
            break;
        default:
            return -EINVAL;
    }
    *ret_value = scalar_of(bits, t);
    return 0;
}

int
shmkit_cell_store(void *cell, uint32_t type, uint32_t order,
                  shmkit_scalar value)
{
    struct type t;

    if (check_cell(cell, type, &t) < 0)
        return -EINVAL;
    if (order == SHMKIT_RELAXED) {
        store_relaxed(cell, t.size, bits_of(&value, t));
        return 0;
    }
    if (order != SHMKIT_RELEASE && order != SHMKIT_SEQ_CST)
        return -EINVAL;
    SHMKITI_TRACE_RELEASE(cell);
    if (order == SHMKIT_RELEASE)
        store_release(cell, t.size, bits_of(&value, t));
    else
        (void)exchange(cell, t.size, bits_of(&value, t));
    return 0;
}

static void
trace_before(const void *cell, uint32_t order)
{
    if (order >= SHMKIT_RELEASE)
        SHMKITI_TRACE_RELEASE(cell);
}

static void
trace_after(const void *cell, uint32_t order)
{
    if (order != SHMKIT_RELAXED && order != SHMKIT_RELEASE)
        SHMKITI_TRACE_ACQUIRE(cell);
}

static int
apply_in_order(void *cell, struct type type, uint32_t operation,
               uint32_t order, shmkit_scalar operand, shmkit_scalar *ret_old)
{
    uint64_t old;

    if (!has_operation(type, operation) || order > SHMKIT_SEQ_CST)
        return -EINVAL;
    trace_before(cell, order);
    old = apply(cell, type, operation, bits_of(&operand, type));
    trace_after(cell, order);
    if (ret_old != NULL)
        *ret_old = scalar_of(old, type);
    return 0;
}

int
shmkit_cell_apply(void *cell, uint32_t type, uint32_t operation,
                  uint32_t order, shmkit_scalar operand,
                  shmkit_scalar *ret_old)
{
    struct type t;

    if (check_cell(cell, type, &t) < 0)
        return -EINVAL;
    return apply_in_order(cell, t, operation, order, operand, ret_old);
}

int
shmkit_cell_compare_exchange(void *cell, uint32_t type, uint32_t order,
                             shmkit_scalar *expected, shmkit_scalar desired)
{
    struct type t;
    uint64_t old;
    bool done;

    if (check_cell(cell, type, &t) < 0 || order > SHMKIT_SEQ_CST)
        return -EINVAL;
    old = bits_of(expected, t);
    trace_before(cell, order);
    done = cas(cell, t.size, &old, bits_of(&desired, t));
    trace_after(cell, order);
    if (!done)
        *expected = scalar_of(old, t);
    return done;
}

/* ---- waiting ---- */

static const uint32_t *
word_around(const void *cell)
{
    return (const uint32_t *)((uintptr_t)cell & ~(uintptr_t)3);
}

/* Bytes beside the cell may be anybody's; the kernel reads them too. */
#if defined(__clang__)
__attribute__((no_sanitize("address", "thread")))
#else
__attribute__((no_sanitize_address, no_sanitize_thread))
#endif
static uint32_t
read_word(const uint32_t *word)
{
    return *(const volatile uint32_t *)word;
}

/* The value that the futex must have for the sleep. */
static uint32_t
announce(const void *cell, uint32_t *changes)
{
    if (changes == NULL)
        return read_word(word_around(cell));
    return __atomic_or_fetch(changes, 1u, __ATOMIC_SEQ_CST);
}

static bool
differs(const void *cell, struct type type, uint64_t seen, uint64_t *now)
{
    *now = load_seq_cst(cell, type.size);
    return *now != seen;
}

static bool
spin(const void *cell, struct type type, uint64_t seen, uint64_t *now)
{
    uint32_t left = shmkiti_spins();

    while (!differs(cell, type, seen, now)) {
        if (left-- == 0)
            return false;
        shmkiti_pause();
    }
    return true;
}

static int
sleep_until_differs(const void *cell, struct type type, uint64_t seen,
                    struct shmkiti_wait *wait, uint32_t *changes,
                    uint64_t *now)
{
    const uint32_t *word = changes == NULL ? word_around(cell) : changes;
    uint32_t expected;
    int r;

    for (;;) {
        expected = announce(cell, changes);
        if (differs(cell, type, seen, now))
            return 0;
        r = shmkiti_wait_sleep(wait, word, expected, SHMKITI_ALL_BITS);
        if (differs(cell, type, seen, now))
            return 0;
        if (r < 0)
            return r;
    }
}

int
shmkit_cell_wait(const void *cell, uint32_t type, shmkit_scalar seen,
                 int64_t deadline, uint32_t *changes, shmkit_scalar *ret_value)
{
    struct shmkiti_wait wait = shmkiti_wait_until(deadline);
    struct type t;
    uint64_t bits, now;
    int r = 0;

    if (check_cell(cell, type, &t) < 0 ||
        ((uintptr_t)changes & (sizeof *changes - 1)) != 0)
        return -EINVAL;
    bits = bits_of(&seen, t);
    if (deadline <= SHMKIT_TRY)
        r = differs(cell, t, bits, &now) ? 0 : -ETIMEDOUT;
    else if (!spin(cell, t, bits, &now))
        r = sleep_until_differs(cell, t, bits, &wait, changes, &now);
    if (r < 0)
        return r;
    SHMKITI_TRACE_ACQUIRE(cell);
    *ret_value = scalar_of(now, t);
    return 0;
}

void
shmkit_cell_wake(const void *cell)
{
    (void)shmkiti_wake(word_around(cell), INT32_MAX, SHMKITI_ALL_BITS);
}

void
shmkit_cell_changed(uint32_t *changes)
{
    uint32_t word = __atomic_load_n(changes, __ATOMIC_SEQ_CST);

    if (__builtin_expect((word & 1u) == 0, 1))
        return;
    /* Who loses the race need not wake: the winner does, after our change. */
    if (__atomic_compare_exchange_n(changes, &word, word + 1, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        (void)shmkiti_wake(changes, INT32_MAX, SHMKITI_ALL_BITS);
}

/* ---- arrays ---- */

int
shmkit_array_size(uint32_t type, uint64_t length, uint64_t *ret_bytes)
{
    size_t size = shmkit_type_size(type);

    if (size == 0)
        return -EINVAL;
    if (length > (uint64_t)PTRDIFF_MAX / size)
        return -EOVERFLOW;
    *ret_bytes = length * size;
    return 0;
}

/* The struct may be shared: each field is read once. */
static int
find_elements(const struct shmkit_array *array, uint64_t first, uint64_t count,
              char **ret_cell, struct type *ret_type)
{
    uint64_t length = __atomic_load_n(&array->length, __ATOMIC_RELAXED);
    char *data = __atomic_load_n((char **)&array->data, __ATOMIC_RELAXED);
    uint32_t type = __atomic_load_n(&array->type, __ATOMIC_RELAXED);
    uint64_t limit;

    if (check_cell(data, type, ret_type) < 0)
        return -EINVAL;
    limit = (uint64_t)PTRDIFF_MAX / ret_type->size;
    if (length > limit)
        length = limit;
    if (first > length || count > length - first)
        return -ERANGE;
    *ret_cell = data + first * ret_type->size;
    return 0;
}

int
shmkit_array_get(const struct shmkit_array *array, uint64_t index,
                 shmkit_scalar *ret_value)
{
    struct type type;
    char *cell;
    int r = find_elements(array, index, 1, &cell, &type);

    if (r < 0)
        return r;
    *ret_value = scalar_of(load_relaxed(cell, type.size), type);
    return 0;
}

int
shmkit_array_set(const struct shmkit_array *array, uint64_t index,
                 shmkit_scalar value)
{
    struct type type;
    char *cell;
    int r = find_elements(array, index, 1, &cell, &type);

    if (r < 0)
        return r;
    store_relaxed(cell, type.size, bits_of(&value, type));
    return 0;
}

int
shmkit_array_apply(const struct shmkit_array *array, uint64_t index,
                   uint32_t operation, uint32_t order, shmkit_scalar operand,
                   shmkit_scalar *ret_old)
{
    struct type type;
    char *cell;
    int r = find_elements(array, index, 1, &cell, &type);

    if (r < 0)
        return r;
    return apply_in_order(cell, type, operation, order, operand, ret_old);
}

int
shmkit_array_read(const struct shmkit_array *array, uint64_t first,
                  uint64_t count, void *ret_data)
{
    struct type type;
    char *cell;
    int r = find_elements(array, first, count, &cell, &type);

    if (r < 0)
        return r;
    if (count != 0)
        shmkiti_copy(ret_data, cell, count * type.size);
    return 0;
}

int
shmkit_array_write(const struct shmkit_array *array, uint64_t first,
                   uint64_t count, const void *data)
{
    struct type type;
    char *cell;
    int r = find_elements(array, first, count, &cell, &type);

    if (r < 0)
        return r;
    if (count != 0)
        shmkiti_copy(cell, data, count * type.size);
    return 0;
}
