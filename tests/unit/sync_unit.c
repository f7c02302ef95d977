/* SPDX-License-Identifier: MIT */
/* sync_unit.c - an arena for a case, and threads. */
#include "sync_unit.h"

shmkit_arena *sync_arena;

void
sync_open(void)
{
    T_CHECK_EQ(shmkit_arena_create(NULL, 1 << 20, NULL, &sync_arena), 0);
}

void
sync_close(void)
{
    shmkit_arena_close(sync_arena);
    sync_arena = NULL;
}

void *
sync_new(size_t size)
{
    uint64_t offset;
    void *object;

    T_CHECK_EQ(shmkit_arena_alloc(sync_arena, size, &offset), 0);
    object = shmkit_arena_at(sync_arena, offset, size);
    T_CHECK(object != NULL);
    return object;
}

pthread_t
sync_thread(void *(*fn)(void *arg), void *arg)
{
    pthread_attr_t attributes;
    pthread_t thread;

    T_CHECK_EQ(pthread_attr_init(&attributes), 0);
    /* Hundreds of them are started. */
    T_CHECK_EQ(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
    T_CHECK_EQ(pthread_create(&thread, &attributes, fn, arg), 0);
    T_CHECK_EQ(pthread_attr_destroy(&attributes), 0);
    return thread;
}

void
sync_join(pthread_t thread)
{
    T_CHECK_EQ(pthread_join(thread, NULL), 0);
}
