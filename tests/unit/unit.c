/* SPDX-License-Identifier: MIT */
/* unit.c - how the unit tests run.
 *
 * cmocka sees one test function for all cases; its state says which.  The
 * runner stays out of families (fork does not form one there), so that each
 * case, a forked child, starts as a fresh program does.  A case that crashes
 * or hangs costs itself only.
 *
 * A puppet reads pointers to functions from a pipe and calls them: parent and
 * puppet are the same image, so the pointers mean the same.  Arguments and
 * results lie in a page that both map. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the four standard headers above it. */
#include <cmocka.h>

shmkit_block *unit_slot[UNIT_SLOTS];

static int
run_case(void *arg)
{
    const struct unit_case *unit = arg;
    int fds = t_fd_count();

    shmkit_family_form_at_fork(1);
    unit->run();
    /* Exit handling by hand first, so that its result can be looked at; the
     * destructor does it again, which must be harmless. */
    shmkit_process_exit();
    T_CHECK_EQ(t_shm_map_count(), 0);
    T_CHECK_EQ(t_fd_count(), fds);
    return T_PASS;
}

static void
run_isolated(void **state)
{
    struct unit_case *unit = *state;
    int status;

    t_watchdog(unit->name, 60);
    t_shm_snapshot();
    status = t_fork_wait(run_case, unit);
    t_watchdog(unit->name, 0);
    if (status == T_SKIP)
        skip();
    if (status != T_PASS)
        t_shm_clear(); /* a test that failed half-way is no news */
    if (status < 0)
        fprintf(stderr, "%s: killed by signal %d\n", unit->name, -status);
    T_CHECK_EQ(status, T_PASS);
    t_shm_check_empty();
}

static void
fail_in_cmocka(const char *file, int line)
{
    _fail(file, line);
}

int
unit_main(const char *group, const char *options,
          const struct unit_case *cases, size_t count)
{
    struct CMUnitTest *tests = calloc(count, sizeof *tests);
    int failed;

    T_CHECK(tests != NULL);
    for (size_t i = 0; i < count; i++) {
        tests[i].name = cases[i].name;
        tests[i].test_func = run_isolated;
        tests[i].initial_state = (void *)(uintptr_t)&cases[i];
    }
    T_SYS(unsetenv("SHMKIT_FAMILY"));
    (void)t_run_prefix(); /* one for all children */
    shmkit_family_form_at_fork(0);
    t_namespace(options);
    t_fail_hook = fail_in_cmocka;
    failed = _cmocka_run_group_tests(group, tests, count, NULL, NULL);
    free(tests);
    return failed != 0 ? T_FAIL : T_PASS;
}

void
unit_skip(const char *why)
{
    t_skip("%s", why);
}

/* ---- short forms ---- */

struct shmkit_block_options
unit_options(uint32_t flags, uint32_t lifetime)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;

    options.flags = flags;
    options.lifetime = lifetime;
    return options;
}

shmkit_block *
unit_create(const char *name, size_t size, uint32_t flags, uint32_t lifetime)
{
    struct shmkit_block_options options = unit_options(flags, lifetime);
    shmkit_block *block = NULL;

    T_CHECK_EQ(shmkit_block_create(name, size, &options, &block), 0);
    T_CHECK(block != NULL);
    return block;
}

shmkit_block *
unit_attach(const char *name, uint32_t flags)
{
    struct shmkit_block_options options = unit_options(flags, 0);
    shmkit_block *block = NULL;

    T_CHECK_EQ(shmkit_block_attach(name, &options, &block), 0);
    T_CHECK(block != NULL);
    return block;
}

void
unit_keep(shmkit_block *block)
{
    static shmkit_block *kept[100] __attribute__((used));
    static unsigned count;

    T_CHECK(count < 100);
    kept[count++] = block;
}

bool
unit_exists(const char *name)
{
    char path[300];
    struct stat st;

    (void)snprintf(path, sizeof path, "/dev/shm/%s", name);
    return lstat(path, &st) == 0;
}

bool
unit_all_bytes(const shmkit_block *block, unsigned char value)
{
    const unsigned char *data = shmkit_block_data(block);

    for (size_t i = 0; i < shmkit_block_size(block); i++) {
        if (data[i] != value)
            return false;
    }
    return true;
}

void
unit_plant(const char *name, size_t size, mode_t mode)
{
    char path[T_NAME_SIZE + 16];
    int fd;

    t_scratch_path(path, name);
    fd = T_SYS(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    T_SYS(fchmod(fd, mode));
    T_SYS(ftruncate(fd, (off_t)size));
    T_SYS(close(fd));
}

struct shmkit_block_stat
unit_stat(const char *name)
{
    struct shmkit_block_stat stat;

    T_CHECK_EQ(shmkit_block_stat(name, &stat, sizeof stat), 0);
    return stat;
}

int
unit_sweep(void)
{
    return shmkit_sweep(0, NULL, NULL);
}

int
unit_family_count(void)
{
    struct dirent *entry;
    char path[64];
    int count = 0;
    DIR *dir;

    (void)snprintf(path, sizeof path, "/dev/shm/shmkit-%u", geteuid());
    dir = opendir(path);
    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

void
unit_become(uid_t id)
{
    T_SYS(setgroups(0, NULL));
    T_SYS(setresgid(id, id, id));
    T_SYS(setresuid(id, id, id));
    T_SYS(prctl(PR_SET_DUMPABLE, 1)); /* or /proc/self is root's */
}

/* ---- puppets ---- */

static void
serve(int from, int to, struct unit_call *call)
{
    unit_puppet_fn *fn;

    /* NULL ends it: the pipe does not, since later puppets hold it too. */
    while (read(from, &fn, sizeof fn) == sizeof fn && fn != NULL) {
        call->result = fn(call);
        if (write(to, "", 1) != 1)
            break;
    }
}

struct puppet_start {
    int in[2], out[2];
    struct unit_call *call;
    uid_t uid;
};

static int
be_puppet(void *arg)
{
    struct puppet_start *start = arg;

    T_SYS(close(start->in[1]));
    T_SYS(close(start->out[0]));
    memset(unit_slot, 0, sizeof unit_slot);
    if (start->uid != (uid_t)-1)
        unit_become(start->uid);
    serve(start->in[0], start->out[1], start->call);
    return T_PASS;
}

struct unit_puppet
unit_puppet_start_as(uid_t id)
{
    struct puppet_start start = {.uid = id};

    start.call = mmap(NULL, sizeof *start.call, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    T_CHECK(start.call != MAP_FAILED);
    T_SYS(pipe2(start.in, O_CLOEXEC));
    T_SYS(pipe2(start.out, O_CLOEXEC));
    shmkit_family_form_at_fork(0);
    struct unit_puppet puppet = {.pid = t_fork(be_puppet, &start),
                                 .to = start.in[1],
                                 .from = start.out[0],
                                 .call = start.call};

    shmkit_family_form_at_fork(1);
    T_SYS(close(start.in[0]));
    T_SYS(close(start.out[1]));
    return puppet;
}

struct unit_puppet
unit_puppet_start(void)
{
    return unit_puppet_start_as((uid_t)-1);
}

void
unit_puppet_send(struct unit_puppet *puppet, unit_puppet_fn *fn)
{
    T_CHECK(write(puppet->to, &fn, sizeof fn) == sizeof fn);
}

int
unit_puppet_result(struct unit_puppet *puppet)
{
    char done;

    T_CHECK(read(puppet->from, &done, 1) == 1);
    return puppet->call->result;
}

int
unit_puppet_run(struct unit_puppet *puppet, unit_puppet_fn *fn)
{
    unit_puppet_send(puppet, fn);
    return unit_puppet_result(puppet);
}

static void
forget_puppet(struct unit_puppet *puppet)
{
    T_SYS(close(puppet->to));
    T_SYS(close(puppet->from));
    T_SYS(munmap(puppet->call, sizeof *puppet->call));
    *puppet = (struct unit_puppet){.to = -1, .from = -1};
}

void
unit_puppet_end(struct unit_puppet *puppet)
{
    unit_puppet_send(puppet, NULL);
    T_CHECK_EQ(t_wait(puppet->pid), T_PASS);
    forget_puppet(puppet);
}

void
unit_puppet_kill(struct unit_puppet *puppet)
{
    T_CHECK_EQ(t_kill_wait(puppet->pid), -9);
    forget_puppet(puppet);
}

static struct shmkit_block_options
call_options(const struct unit_call *call)
{
    struct shmkit_block_options options =
        unit_options(call->flags, call->lifetime);

    options.mode = call->mode != 0 ? call->mode : 0600;
    return options;
}

static int
do_create(struct unit_call *call)
{
    struct shmkit_block_options options = call_options(call);

    return shmkit_block_create(call->name, call->size, &options,
                               &unit_slot[call->slot]);
}

static int
do_attach(struct unit_call *call)
{
    struct shmkit_block_options options = call_options(call);

    options.lifetime = 0;
    return shmkit_block_attach(call->name, &options, &unit_slot[call->slot]);
}

static int
do_close(struct unit_call *call)
{
    unit_slot[call->slot] = shmkit_block_close(unit_slot[call->slot]);
    return 0;
}

static int
do_unlink(struct unit_call *call)
{
    return shmkit_block_unlink(call->name, NULL);
}

static int
do_sweep(struct unit_call *call)
{
    (void)call;
    return unit_sweep();
}

static int
do_form(struct unit_call *call)
{
    int r = shmkit_family_form();

    return r < 0 ? r : shmkit_family_get_id(call->family);
}

static int
do_read(struct unit_call *call)
{
    return unit_all_bytes(unit_slot[0], (unsigned char)call->size);
}

static void
set_name(struct unit_puppet *puppet, const char *name)
{
    (void)snprintf(puppet->call->name, sizeof puppet->call->name, "%s", name);
}

int
unit_puppet_create(struct unit_puppet *puppet, const char *name, size_t size,
                   uint32_t lifetime)
{
    set_name(puppet, name);
    puppet->call->size = size;
    puppet->call->lifetime = lifetime;
    return unit_puppet_run(puppet, do_create);
}

int
unit_puppet_attach(struct unit_puppet *puppet, const char *name)
{
    set_name(puppet, name);
    return unit_puppet_run(puppet, do_attach);
}

int
unit_puppet_close(struct unit_puppet *puppet)
{
    return unit_puppet_run(puppet, do_close);
}

int
unit_puppet_unlink(struct unit_puppet *puppet, const char *name)
{
    set_name(puppet, name);
    return unit_puppet_run(puppet, do_unlink);
}

int
unit_puppet_sweep(struct unit_puppet *puppet)
{
    return unit_puppet_run(puppet, do_sweep);
}

int
unit_puppet_form(struct unit_puppet *puppet)
{
    return unit_puppet_run(puppet, do_form);
}

int
unit_puppet_reads(struct unit_puppet *puppet, unsigned char value)
{
    puppet->call->size = value;
    return unit_puppet_run(puppet, do_read);
}
