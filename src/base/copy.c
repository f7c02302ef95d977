/* SPDX-License-Identifier: MIT */
/* copy.c - copying bytes at the speed of memory.
 *
 * A plain store first reads the line it overwrites into the cache, and pushes
 * out what was there.  From some megabytes on neither is of use: streaming
 * stores write past the cache and save a third of the time.  The C library
 * does the same, but only from three quarters of a last-level cache whose size
 * virtual machines overstate.  Below, and on other processors, memcpy is
 * best.
 *
 * Beyond STREAM_TO the C library streams by itself, and does it better.  One
 * thread only: `./dev bench big` shows what a second one would gain, which
 * depends on the machine; a library should not start threads unasked.
 *
 * No state.  A streaming copy ends with a store fence, so that whoever is told
 * of it by a later plain store sees all of it. */
#include "base/copy.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#include <emmintrin.h>

#define STREAM_FROM ((size_t)8 << 20)
#define STREAM_TO ((size_t)128 << 20)
#define LINE 64u

/* `to` is a multiple of 16, `len` one of LINE. */
static void
stream_lines(__m128i *to, const unsigned char *from, size_t len)
{
    for (size_t i = 0; i < len / LINE; i++, to += 4, from += LINE) {
        const __m128i *line = (const __m128i *)(const void *)from;
        __m128i a = _mm_loadu_si128(line), b = _mm_loadu_si128(line + 1);
        __m128i c = _mm_loadu_si128(line + 2), d = _mm_loadu_si128(line + 3);

        _mm_stream_si128(to, a);
        _mm_stream_si128(to + 1, b);
        _mm_stream_si128(to + 2, c);
        _mm_stream_si128(to + 3, d);
    }
    _mm_sfence();
}

void
shmkiti_copy(void *to, const void *from, size_t len)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    size_t head = (size_t)(-(uintptr_t)out & (LINE - 1)), body;

    if (len < STREAM_FROM || len > STREAM_TO) {
        memcpy(to, from, len);
        return;
    }
    body = (len - head) & ~(size_t)(LINE - 1);
    memcpy(out, in, head);
    stream_lines((__m128i *)(void *)(out + head), in + head, body);
    memcpy(out + head + body, in + head + body, len - head - body);
}

#else

void
shmkiti_copy(void *to, const void *from, size_t len)
{
    memcpy(to, from, len);
}

#endif
