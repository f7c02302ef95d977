/* SPDX-License-Identifier: MIT */
/* gray_worker.c - one C worker of the demo: turns rows of a photograph grey.
 *
 * The driver (demo.py) makes two blocks and sends their names down a pipe.
 * The worker attaches to both by name, as any unrelated program could, and
 * does what gray.py does for the workers written in Python:
 *
 *   image    colour rows, 3 bytes a pixel, from 0; grey rows, 1 byte a pixel,
 *            from control->result_offset.  The colour rows are never written
 *            again, so that a strip begun and not ended is simply done once
 *            more: the bytes come out the same, however often.
 *   control  struct control below: the measures, one slot a worker, one claim
 *            word a strip.
 *
 * Who hands out the work.  The driver does, one strip at a time, through a
 * pipe to each worker, rather than the workers helping themselves by
 * compare-and-swap: a Python program has no compare-and-swap, the pipe is a
 * wait that costs nothing, and its end is the proof of death that the kernel
 * gives.  The claim words keep the books:
 *
 *   FREE -> TAKEN|pid   the driver, before it sends the order
 *   TAKEN|pid -> DONE   that worker, after the last row (release); no one else
 *   TAKEN|pid -> FREE   the driver, after waitpid() told it that pid is dead
 *
 * At any time one process alone may store to a word, in turns that the order
 * and the death hand over, so a plain store would do; compare-and-swap is used
 * because it also refuses when the books are wrong.  A slot is written by its
 * worker alone and read by the driver for the progress line.
 *
 * A kill at any point leaves a claim that says TAKEN|pid (the strip is done
 * again by another) or DONE (all its rows are there).  The pages of both
 * blocks stay, since attaching never makes a process an owner.
 *
 * Orders:  "job IMAGE CONTROL SLOT", answered "ready"; "strip N", answered
 * "done N"; "leave", answered "left".  End of file ends the worker: it also
 * comes when the driver dies.
 */
#include <errno.h>
#include <shmkit/shmkit.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x31796172676d6873) /* "shmgray1" */
#define SLOTS 8
#define MAX_SIDE (UINT32_C(1) << 24) /* its square, times 3, is 64 bits */
#define TAKEN (UINT64_C(1) << 32)
#define DONE (UINT64_C(2) << 32)

struct slot {
    _Atomic uint64_t place; /* strip << 32 | rows of it that are done */
    unsigned char pad[56];  /* a cache line each: neighbours do not quarrel */
};

struct measures {
    uint64_t magic;
    uint64_t result_offset; /* bytes, in the image block */
    uint32_t width, height; /* pixels */
    uint32_t strip_rows, strips;
    uint32_t step_rows; /* rows between two entries in the slot */
    uint32_t rest_us;   /* rest after each step, so that one can watch */
    unsigned char pad[24];
};

struct control {
    struct measures measures; /* written once, before the first order */
    struct slot slots[SLOTS];
    _Atomic uint64_t claims[]; /* one a strip: state | pid */
};

_Static_assert(sizeof(struct slot) == 64, "gray.py has the same layout");
_Static_assert(offsetof(struct control, slots) == 64, "and the same here");
_Static_assert(offsetof(struct control, claims) == 576, "and here");

/* This process's view of one job. */
struct job {
    shmkit_block *image, *books;
    struct control *control;
    struct slot *slot;
    struct measures m; /* a copy: once checked, nobody changes it any more */
};

static void
leave(struct job *job)
{
    job->image = shmkit_block_close(job->image);
    job->books = shmkit_block_close(job->books);
    job->control = NULL;
}

/* The measures come from another process: believe none of them unseen. */
static int
check(const struct job *job, unsigned slot)
{
    const struct measures *m = &job->m;
    uint64_t pixels = (uint64_t)m->width * m->height;
    uint64_t books = sizeof(struct control) + 8 * (uint64_t)m->strips;

    if (m->magic != MAGIC || m->width > MAX_SIDE || m->height > MAX_SIDE ||
        m->step_rows == 0 || slot >= SLOTS)
        return -EBADMSG;
    if (m->result_offset < pixels * 3 ||
        shmkit_block_size(job->image) < pixels ||
        shmkit_block_size(job->image) - pixels < m->result_offset ||
        shmkit_block_size(job->books) < books)
        return -EBADMSG;
    return 0;
}

static int
enter(struct job *job, const char *image, const char *books, unsigned slot)
{
    int r;

    r = shmkit_block_attach(image, NULL, &job->image);
    if (r < 0)
        goto out;
    r = shmkit_block_attach(books, NULL, &job->books);
    if (r < 0)
        goto out;
    r = shmkit_block_size(job->books) < sizeof *job->control ? -EBADMSG : 0;
    if (r < 0)
        goto out;
    job->control = shmkit_block_data(job->books);
    job->m = job->control->measures;
    r = check(job, slot);
    if (r < 0)
        goto out;
    job->slot = &job->control->slots[slot];
out:
    if (r < 0)
        leave(job);
    return r;
}

/* ITU-R 601 luma in 16.16 fixed point, rounded: whole numbers, so that C,
 * NumPy and Pillow agree to the last bit. */
static void
gray_pixels(const unsigned char *rgb, unsigned char *gray, size_t count)
{
    for (size_t i = 0; i < count; i++, rgb += 3)
        gray[i] = (unsigned char)((19595u * rgb[0] + 38470u * rgb[1] +
                                   7471u * rgb[2] + 32768u) >>
                                  16);
}

static void
gray_rows(const struct job *job, uint32_t first, uint32_t rows)
{
    unsigned char *base = shmkit_block_data(job->image);
    unsigned char *result = base + job->m.result_offset;
    size_t from = (size_t)job->m.width * first;

    gray_pixels(base + from * 3, result + from, (size_t)job->m.width * rows);
}

static void
rest(uint32_t microseconds)
{
    struct timespec t = {microseconds / 1000000u,
                         (long)(microseconds % 1000000u) * 1000};

    if (microseconds > 0)
        nanosleep(&t, NULL);
}

static uint32_t
smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int
do_strip(const struct job *job, uint32_t strip)
{
    const struct measures *m = &job->m;
    uint64_t mine = TAKEN | (uint32_t)getpid();
    uint32_t first = strip * m->strip_rows, done = 0, step;
    uint32_t rows = smaller(m->height - first, m->strip_rows);

    while (done < rows) {
        step = smaller(rows - done, m->step_rows);
        gray_rows(job, first + done, step);
        done += step;
        atomic_store_explicit(&job->slot->place, (uint64_t)strip << 32 | done,
                              memory_order_relaxed);
        if (done < rows)
            rest(m->rest_us);
    }

    /* Release: whoever sees DONE sees the rows.  Refused, the strip was never
     * ours, and we must not say that it is done. */
    if (!atomic_compare_exchange_strong_explicit(
            &job->control->claims[strip], &mine, DONE | (uint32_t)getpid(),
            memory_order_release, memory_order_relaxed))
        return -EPROTO;
    return 0;
}

/* Whether the job has such a strip; in 64 bits, so that nothing wraps. */
static int
has_strip(const struct job *job, unsigned strip)
{
    return job->control != NULL && strip < job->m.strips &&
           (uint64_t)strip * job->m.strip_rows < job->m.height;
}

/* One order, one answer: a result < 0 is the end of this worker. */
static int
obey(struct job *job, const char *line)
{
    char image[SHMKIT_NAME_SIZE], books[SHMKIT_NAME_SIZE];
    unsigned number;
    int r;

    if (sscanf(line, "job %255s %255s %u", image, books, &number) == 3) {
        leave(job);
        r = enter(job, image, books, number);
        if (r == 0)
            puts("ready");
        return r;
    }
    if (sscanf(line, "strip %u", &number) == 1 && has_strip(job, number)) {
        r = do_strip(job, number);
        if (r == 0)
            printf("done %u\n", number);
        return r;
    }
    if (strcmp(line, "leave\n") == 0) {
        leave(job);
        puts("left");
        return 0;
    }
    return -EPROTO;
}

int
main(void)
{
    char line[2 * SHMKIT_NAME_SIZE + 32];
    struct job job = {0};
    int r = 0;

    /* A driver that died is an end of file: then we still close the blocks,
     * and the last holder removes them.  Death by SIGPIPE would not. */
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (r == 0 && fgets(line, sizeof line, stdin) != NULL)
        r = obey(&job, line);
    if (r < 0)
        fprintf(stderr, "gray_worker: %s\n", shmkit_strerror(r));
    leave(&job);
    return r < 0;
}
