// SPDX-License-Identifier: MIT
// bench_boost.cpp - the primitives beside Boost.Interprocess's, where that is
// installed.
//
// bench_boost ROUNDS
//
// One process, nobody in the way, both sides in turn on an anonymous shared
// mapping.  Output as bench_sync's: a line of JSON a round and case.
#include <shmkit/shmkit.h>
#include <shmkit/sync.h>

#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_recursive_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <boost/interprocess/sync/interprocess_sharable_mutex.hpp>

#include <sys/mman.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace
{
namespace bip = boost::interprocess;

struct Shared {
    alignas(64) bip::interprocess_mutex mutex;
    alignas(64) bip::interprocess_recursive_mutex recursive;
    alignas(64) bip::interprocess_semaphore semaphore{2};
    alignas(64) bip::interprocess_sharable_mutex sharable;
    alignas(64) shmkit_lock lock = SHMKIT_LOCK_INIT;
    alignas(64) shmkit_rlock rlock = SHMKIT_RLOCK_INIT;
    alignas(64) shmkit_rwlock rwlock = SHMKIT_RWLOCK_INIT;
    alignas(64) char units[256];
};

void
check(const char *what, int r)
{
    if (r == 0)
        return;
    std::fprintf(stderr, "bench_boost: %s: %s\n", what, shmkit_strerror(r));
    std::exit(EXIT_FAILURE);
}

// Nanoseconds a pair.
template <typename Pair>
double
clock_pairs(Pair pair)
{
    constexpr unsigned pairs = 100000;
    const auto start = std::chrono::steady_clock::now();

    for (unsigned i = 0; i < pairs; i++)
        pair();
    return std::chrono::duration<double, std::nano>(
               std::chrono::steady_clock::now() - start)
               .count() /
           pairs;
}

template <typename Theirs, typename Ours>
void
take_turns(const char *name, bool theirs_first, Theirs theirs, Ours ours)
{
    double their_ns = 0, our_ns;

    if (theirs_first)
        their_ns = clock_pairs(theirs);
    our_ns = clock_pairs(ours);
    if (!theirs_first)
        their_ns = clock_pairs(theirs);
    std::printf("{\"case\": \"%s\", \"theirs\": %.3f, \"ours\": %.3f}\n", name,
                their_ns, our_ns);
}

void
run_round(Shared &s, shmkit_arena *arena, bool theirs_first)
{
    auto *units = reinterpret_cast<shmkit_semaphore *>(s.units);

    take_turns(
        "lock / interprocess_mutex", theirs_first,
        [&] { s.mutex.lock(), s.mutex.unlock(); },
        [&] {
            check("lock", shmkit_lock_acquire(arena, &s.lock, SHMKIT_FOREVER));
            shmkit_lock_release(arena, &s.lock);
        });
    take_turns(
        "rlock / interprocess_recursive_mutex", theirs_first,
        [&] { s.recursive.lock(), s.recursive.unlock(); },
        [&] {
            check("rlock",
                  shmkit_rlock_acquire(arena, &s.rlock, SHMKIT_FOREVER));
            shmkit_rlock_release(arena, &s.rlock);
        });
    take_turns(
        "semaphore / interprocess_semaphore", theirs_first,
        [&] { s.semaphore.wait(), s.semaphore.post(); },
        [&] {
            check("semaphore",
                  shmkit_semaphore_acquire(arena, units, SHMKIT_FOREVER));
            shmkit_semaphore_release(arena, units);
        });
    take_turns(
        "read / interprocess_sharable_mutex", theirs_first,
        [&] { s.sharable.lock_sharable(), s.sharable.unlock_sharable(); },
        [&] {
            check("read", shmkit_rwlock_acquire_read(arena, &s.rwlock,
                                                     SHMKIT_FOREVER));
            shmkit_rwlock_release_read(arena, &s.rwlock);
        });
}
}  // namespace

// Boost throws where it cannot make a lock: that ends the program, and says so.
int
main(int argc, char **argv) // NOLINT(bugprone-exception-escape)
{
    const unsigned long rounds =
        argc == 2 ? std::strtoul(argv[1], nullptr, 10) : 0;
    shmkit_arena *arena;

    if (rounds == 0) {
        std::fprintf(stderr, "usage: bench_boost ROUNDS\n");
        return 2;
    }
    void *memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        std::perror("bench_boost: mmap");
        return EXIT_FAILURE;
    }
    auto *shared = new (memory) Shared;

    check("arena", shmkit_arena_of_family(&arena));
    check("semaphore",
          shmkit_semaphore_init(
              reinterpret_cast<shmkit_semaphore *>(shared->units), 2, 0));
    for (unsigned long i = 0; i < rounds; i++)
        run_round(*shared, arena, i % 2 == 0);
    return EXIT_SUCCESS;
}
