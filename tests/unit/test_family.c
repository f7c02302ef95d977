/* SPDX-License-Identifier: MIT */
/* test_family.c - forming, joining, handing on and losing families, and files
 * in the family's folder that are none.
 *
 * Family files are made by hand here, with the library's own idea of their
 * first page, to be then spoilt one field at a time.  A second program is
 * this one again, started with arguments (see second_program). */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/table.h"
#include "unit.h"

#define SIZE 4096
#define ID "0123456789abcdef"

static char *
folder(char path[64])
{
    (void)snprintf(path, 64, "/dev/shm/shmkit-%u", geteuid());
    return path;
}

static char *
family_path(const char *id, char path[128])
{
    char dir[64];

    (void)snprintf(path, 128, "%s/%s", folder(dir), id);
    return path;
}

static void
own_id(char id[SHMKIT_FAMILY_ID_SIZE])
{
    T_CHECK_EQ(shmkit_family_get_id(id), 0);
}

/* ---- forming ---- */

static void
test_no_family_before_the_first_create(void)
{
    char id[SHMKIT_FAMILY_ID_SIZE] = "untouched", name[T_NAME_SIZE];
    shmkit_block *block = NULL;

    T_CHECK_EQ(shmkit_family_get_id(id), -ENOENT);
    T_CHECK_STR(id, "untouched");
    T_CHECK_EQ(shmkit_block_attach(t_scratch_name(name, "none"), NULL, &block),
               -ENOENT);
    T_CHECK_EQ(unit_family_count(), 0);
    block = unit_create(name, 1, 0, SHMKIT_LIFETIME_FAMILY);
    own_id(id);
    T_CHECK_EQ(unit_family_count(), 1);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

static void
test_family_is_one_private_sticky_file(void)
{
    char id[SHMKIT_FAMILY_ID_SIZE], path[128], dir[64];
    struct stat st;

    T_CHECK_EQ(shmkit_family_form(), 0);
    T_CHECK_EQ(shmkit_family_form(), 0);
    T_CHECK_EQ(unit_family_count(), 1);
    own_id(id);
    T_CHECK_EQ(strspn(id, "0123456789abcdef"), 16);
    T_SYS(lstat(folder(dir), &st));
    T_CHECK(S_ISDIR(st.st_mode));
    T_CHECK_EQ(st.st_mode & 0777, 0700);
    T_SYS(lstat(family_path(id, path), &st));
    T_CHECK_EQ(st.st_mode & 07777, 01600);
    T_CHECK_EQ(st.st_size, SHMKITI_TABLE_OFFSET(1));
}

static void
test_leaving_removes_the_folder_too(void)
{
    char first[SHMKIT_FAMILY_ID_SIZE], second[SHMKIT_FAMILY_ID_SIZE];
    char dir[64];

    T_CHECK_EQ(shmkit_family_form(), 0);
    own_id(first);
    shmkit_process_exit();
    T_CHECK(access(folder(dir), F_OK) < 0);
    T_CHECK_EQ(shmkit_family_get_id(second), -ENOENT);
    shmkit_process_exit();
    T_CHECK_EQ(shmkit_family_form(), 0);
    own_id(second);
    T_CHECK(strcmp(first, second) != 0);
}

static int
tell_id(struct unit_call *call)
{
    return shmkit_family_get_id(call->family);
}

static void
test_forked_child_is_in_the_family(void)
{
    char id[SHMKIT_FAMILY_ID_SIZE];
    struct unit_puppet child;

    T_CHECK_EQ(shmkit_family_form(), 0);
    own_id(id);
    child = unit_puppet_start();
    T_CHECK_EQ(unit_puppet_run(&child, tell_id), 0);
    T_CHECK_STR(child.call->family, id);
    shmkit_process_exit(); /* the parent leaves: the child keeps it */
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK_EQ(unit_family_count(), 1);
    unit_puppet_end(&child);
    T_CHECK_EQ(unit_family_count(), 0);
}

/* ---- joining ---- */

static int
join_it(struct unit_call *call)
{
    return shmkit_family_join(call->family);
}

static void
test_join_by_id_keeps_the_family(void)
{
    struct unit_puppet first = unit_puppet_start();
    struct unit_puppet second = unit_puppet_start();
    char name[T_NAME_SIZE], other[T_NAME_SIZE];

    t_scratch_name(name, "joined");
    t_scratch_name(other, "new");
    T_CHECK_EQ(unit_puppet_create(&first, name, SIZE, 0), 0);
    T_CHECK_EQ(unit_puppet_run(&first, tell_id), 0);
    memcpy(second.call->family, first.call->family, SHMKIT_FAMILY_ID_SIZE);
    T_CHECK_EQ(unit_puppet_run(&second, join_it), 0);
    T_CHECK_EQ(unit_puppet_run(&second, join_it), 0); /* a member already */
    unit_puppet_kill(&first);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(unit_puppet_create(&second, other, SIZE, 0), 0);
    T_CHECK_EQ(unit_family_count(), 1);
    unit_puppet_kill(&second);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(name) && !unit_exists(other));
}

static void
test_joining_does_not_leave_earlier_families(void)
{
    struct unit_puppet first = unit_puppet_start();
    struct unit_puppet second = unit_puppet_start();
    char mine[T_NAME_SIZE], theirs[T_NAME_SIZE];

    t_scratch_name(mine, "mine");
    t_scratch_name(theirs, "theirs");
    T_CHECK_EQ(unit_puppet_create(&second, mine, SIZE, 0), 0);
    T_CHECK_EQ(unit_puppet_form(&first), 0);
    memcpy(second.call->family, first.call->family, SHMKIT_FAMILY_ID_SIZE);
    T_CHECK_EQ(unit_puppet_run(&second, join_it), 0);
    second.call->slot = 1;
    T_CHECK_EQ(unit_puppet_create(&second, theirs, SIZE, 0), 0);
    T_CHECK_EQ(unit_puppet_run(&second, tell_id), 0);
    T_CHECK_STR(second.call->family, first.call->family);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(mine) && unit_exists(theirs));
    unit_puppet_kill(&second);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(mine));
    T_CHECK(unit_exists(theirs));
    unit_puppet_kill(&first);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(theirs));
}

static void
test_join_of_no_family(void)
{
    char id[SHMKIT_FAMILY_ID_SIZE];

    T_CHECK_EQ(shmkit_family_join(ID), -ENOENT);
    T_CHECK(shmkit_family_join("") < 0);
    T_CHECK(shmkit_family_join(NULL) < 0);
    T_CHECK(shmkit_family_join("../../../../etc") < 0);
    T_CHECK(shmkit_family_join("0123456789abcde") < 0);
    T_CHECK(shmkit_family_join("0123456789abcdef0") < 0);
    T_CHECK(shmkit_family_join("0123456789ABCDEF") < 0);
    T_CHECK(shmkit_family_join("0123456789abcde/") < 0);
    T_CHECK_EQ(shmkit_family_get_id(id), -ENOENT);
}

static void
test_join_of_a_zombie_is_eownerdead(void)
{
    struct unit_puppet maker = unit_puppet_start();
    struct unit_puppet holder = unit_puppet_start();
    char name[T_NAME_SIZE], id[SHMKIT_FAMILY_ID_SIZE];

    t_scratch_name(name, "zombie");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, 0), 0);
    T_CHECK_EQ(unit_puppet_run(&maker, tell_id), 0);
    memcpy(id, maker.call->family, sizeof id);
    T_CHECK_EQ(unit_puppet_attach(&holder, name), 0);
    unit_puppet_kill(&maker);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK_EQ(unit_family_count(), 1);
    T_CHECK_EQ(shmkit_family_join(id), -EOWNERDEAD);
    T_CHECK_EQ(unit_puppet_close(&holder), 0);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK_EQ(shmkit_family_join(id), -ENOENT);
    unit_puppet_end(&holder);
}

/* Nobody has swept yet: a late joiner revives it, with all its blocks. */
static void
test_join_revives_what_nobody_swept(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE], id[SHMKIT_FAMILY_ID_SIZE];

    t_scratch_name(name, "revived");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, 0), 0);
    T_CHECK_EQ(unit_puppet_run(&maker, tell_id), 0);
    memcpy(id, maker.call->family, sizeof id);
    unit_puppet_kill(&maker);
    T_CHECK_EQ(shmkit_family_join(id), 0);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    shmkit_block_close(unit_attach(name, 0));
    shmkit_process_exit();
    T_CHECK(!unit_exists(name));
}

/* ---- descriptors, and programs started by exec ---- */

/* argv: mode, descriptor, name of a block of the family, where to say
 * "started" and "done", what to wait on in between. */
static int
second_program(char **argv)
{
    shmkit_block *block = NULL;
    int say = atoi(argv[4]), fd = atoi(argv[2]);
    char byte;

    T_CHECK(write(say, "s", 1) == 1);
    T_CHECK(read(atoi(argv[5]), &byte, 1) == 1);
    if (strcmp(argv[1], "join-fd") == 0) {
        T_CHECK_EQ(shmkit_family_join_fd(fd), 0);
        T_SYS(close(fd));
    }
    /* Without it, the first create looks at SHMKIT_FAMILY. */
    T_CHECK_EQ(shmkit_block_create(NULL, SIZE, NULL, &block), 0);
    unit_keep(block);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK_EQ(shmkit_block_attach(argv[3], NULL, &block), 0);
    unit_keep(block);
    T_CHECK_EQ(unit_family_count(), 1);
    T_CHECK(write(say, "d", 1) == 1);
    return T_PASS;
}

/* Made by the test before any puppet, so that it outlives them. */
struct gates {
    int said[2], go[2];
};

static struct gates gates;

static void
open_gates(void)
{
    T_SYS(pipe2(gates.said, O_CLOEXEC));
    T_SYS(pipe2(gates.go, O_CLOEXEC));
}

static void
close_gates(void)
{
    for (int i = 0; i < 2; i++) {
        T_SYS(close(gates.said[i]));
        T_SYS(close(gates.go[i]));
    }
}

static void
hear(char want)
{
    char byte;

    T_CHECK(read(gates.said[0], &byte, 1) == 1);
    T_CHECK_EQ(byte, want);
}

static void
let_go(void)
{
    T_CHECK(write(gates.go[1], "g", 1) == 1);
}

static pid_t
start_second(const char *mode, int fd, const char *name)
{
    char fd_text[16], say[16], wait[16];
    pid_t pid;

    (void)snprintf(fd_text, sizeof fd_text, "%d", fd);
    (void)snprintf(say, sizeof say, "%d", gates.said[1]);
    (void)snprintf(wait, sizeof wait, "%d", gates.go[0]);
    pid = T_SYS(fork());
    if (pid != 0)
        return pid;
    T_SYS(fcntl(gates.said[1], F_SETFD, 0));
    T_SYS(fcntl(gates.go[0], F_SETFD, 0));
    if (fd >= 0)
        T_SYS(fcntl(fd, F_SETFD, 0));
    (void)execl("/proc/self/exe", "second", mode, fd_text, name, say, wait,
                (char *)NULL);
    _exit(T_FAIL);
}

static int
spawn_by_descriptor(struct unit_call *call)
{
    int fd, copy;

    T_CHECK_EQ(shmkit_family_get_fd(&fd), 0);
    T_CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    copy = T_SYS(fcntl(fd, F_DUPFD_CLOEXEC, 3));
    (void)start_second("join-fd", copy, call->name);
    T_SYS(close(copy));
    return 0;
}

/* The descriptor bridges the gap between the death of all members and the
 * join. */
static void
test_descriptor_keeps_the_family_through_exec(void)
{
    struct unit_puppet maker;
    char name[T_NAME_SIZE];

    if (getenv("T_VALGRIND") != NULL)
        unit_skip("valgrind does not follow into the program");
    open_gates();
    maker = unit_puppet_start();
    t_scratch_name(name, "execed");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, 0), 0);
    T_CHECK_EQ(unit_puppet_run(&maker, spawn_by_descriptor), 0);
    hear('s');
    unit_puppet_kill(&maker);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_LIVE);
    let_go();
    hear('d');
    while (unit_family_count() > 0) /* it is on its way out */
        t_sleep_ms(1);
    T_CHECK(!unit_exists(name));
    close_gates();
}

static void
test_second_program_joins_by_descriptor(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;
    pid_t second;
    int fd;

    if (getenv("T_VALGRIND") != NULL)
        unit_skip("valgrind does not follow into the program");
    open_gates();
    block = unit_create(t_scratch_name(name, "second"), SIZE, 0, 0);
    T_CHECK_EQ(shmkit_family_get_fd(&fd), 0);
    second = start_second("join-fd", fd, name);
    let_go();
    T_CHECK_EQ(t_wait(second), T_PASS);
    T_CHECK(unit_exists(name));
    shmkit_block_close(block);
    close_gates();
}

static void
test_second_program_joins_by_environment(void)
{
    char name[T_NAME_SIZE], id[SHMKIT_FAMILY_ID_SIZE];
    shmkit_block *block;
    pid_t second;

    if (getenv("T_VALGRIND") != NULL)
        unit_skip("valgrind does not follow into the program");
    open_gates();
    block = unit_create(t_scratch_name(name, "env"), SIZE, 0, 0);
    own_id(id);
    T_SYS(setenv("SHMKIT_FAMILY", id, 1));
    second = start_second("environment", -1, name);
    let_go();
    T_CHECK_EQ(t_wait(second), T_PASS);
    T_CHECK(unit_exists(name));
    shmkit_block_close(block);
    close_gates();
}

static int
form_with_stale_environment(void *arg)
{
    char id[SHMKIT_FAMILY_ID_SIZE];

    T_SYS(setenv("SHMKIT_FAMILY", arg, 1));
    T_CHECK_EQ(shmkit_family_form(), 0);
    T_CHECK_EQ(shmkit_family_get_id(id), 0);
    T_CHECK(strcmp(id, arg) != 0);
    return T_PASS;
}

/* The family it names is gone, or it is nonsense: better one of its own than
 * none. */
static void
test_stale_environment_forms_a_family(void)
{
    static const char *const values[] = {ID, "", "nonsense", "/etc/passwd"};

    shmkit_family_form_at_fork(0);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        T_CHECK_EQ(t_fork_wait(form_with_stale_environment,
                               (void *)(uintptr_t)values[i]),
                   T_PASS);
}

static void
test_descriptor_is_kept_once(void)
{
    int first, second;

    T_CHECK_EQ(shmkit_family_get_fd(&first), 0); /* forms the family */
    T_CHECK_EQ(shmkit_family_get_fd(&second), 0);
    T_CHECK_EQ(first, second);
    T_CHECK_EQ(unit_family_count(), 1);
}

/* Programs close descriptors that are not theirs; the number comes again. */
static void
test_descriptor_closed_by_user_code(void)
{
    struct stat st, again;
    int fd, fds[2], next;

    T_CHECK_EQ(shmkit_family_get_fd(&fd), 0);
    T_SYS(fstat(fd, &st));
    T_SYS(close(fd));
    T_SYS(pipe2(fds, O_CLOEXEC));
    T_CHECK(fds[0] == fd || fds[1] == fd);
    T_CHECK_EQ(shmkit_family_get_fd(&next), 0);
    T_CHECK(next != fds[0] && next != fds[1]);
    T_SYS(fstat(next, &again));
    T_CHECK(st.st_ino == again.st_ino);
    T_SYS(close(next));
    next = T_SYS(dup2(fds[0], next)); /* and once more, not asked again */
    shmkit_process_exit();
    T_SYS(fcntl(fds[0], F_GETFD));
    T_SYS(fcntl(fds[1], F_GETFD));
    T_SYS(fcntl(next, F_GETFD)); /* not the library's to close */
    T_SYS(close(next));
    T_SYS(close(fds[0]));
    T_SYS(close(fds[1]));
}

static void
test_join_fd_of_something_else(void)
{
    char id[SHMKIT_FAMILY_ID_SIZE], name[T_NAME_SIZE];
    shmkit_block *block;
    int fds[2], fd;

    T_CHECK_EQ(shmkit_family_join_fd(-1), -EBADF);
    T_SYS(pipe2(fds, O_CLOEXEC));
    T_CHECK(shmkit_family_join_fd(fds[0]) < 0);
    T_SYS(close(fds[0]));
    T_SYS(close(fds[1]));
    fd = T_SYS(open("/dev/zero", O_RDWR | O_CLOEXEC));
    T_CHECK_EQ(shmkit_family_join_fd(fd), -EBADMSG);
    T_SYS(close(fd));
    fd = T_SYS(open("/dev/shm", O_RDONLY | O_CLOEXEC));
    T_CHECK(shmkit_family_join_fd(fd) < 0);
    T_SYS(close(fd));
    T_CHECK_EQ(shmkit_family_get_id(id), -ENOENT);
    block = unit_create(t_scratch_name(name, "nofam"), 2 * SIZE, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    T_CHECK_EQ(shmkit_block_open_fd(block, &fd), 0);
    T_CHECK_EQ(shmkit_family_join_fd(fd), -EBADMSG);
    T_SYS(close(fd));
    shmkit_block_close(block);
}

/* ---- spoilt files ---- */

struct spoil {
    const char *what;
    int want;
    uint64_t size;
    uint32_t segments, kept_len, mode;
    bool magic, layout;
};

static uint64_t
plant_family(const struct spoil *spoil)
{
    struct shmkiti_table_shared page;
    char path[128], dir[64];
    int fd;

    (void)mkdir(folder(dir), 0700);
    shmkiti_table_init(&page, UINT64_C(0x0123456789abcdef));
    page.segments = spoil->segments;
    page.kept_len = spoil->kept_len;
    page.magic ^= spoil->magic ? 1u << 7 : 0;
    page.layout ^= spoil->layout ? 1u << 7 : 0;
    fd = T_SYS(open(family_path(ID, path),
                    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    T_CHECK(pwrite(fd, &page, sizeof page, 0) == sizeof page);
    T_SYS(ftruncate(fd, (off_t)spoil->size));
    T_SYS(fchmod(fd, spoil->mode));
    T_SYS(close(fd));
    return spoil->size;
}

static void
refuse_spoilt(const struct spoil *spoil)
{
    char id[SHMKIT_FAMILY_ID_SIZE], path[128], dir[64];
    struct stat st;
    int fd, r;

    (void)plant_family(spoil);
    r = shmkit_family_join(ID);
    if (r != spoil->want)
        t_fail(__FILE__, __LINE__, "%s: join by id gave %d", spoil->what, r);
    fd = T_SYS(open(family_path(ID, path), O_RDWR | O_CLOEXEC));
    r = shmkit_family_join_fd(fd);
    if (r != spoil->want)
        t_fail(__FILE__, __LINE__, "%s: join by fd gave %d", spoil->what, r);
    T_SYS(close(fd));
    T_CHECK_EQ(shmkit_family_get_id(id), -ENOENT);
    T_CHECK_EQ(unit_sweep(), 0);
    T_SYS(lstat(path, &st)); /* what is not understood is not cleaned */
    T_CHECK_EQ(st.st_size, spoil->size);
    T_CHECK_EQ(st.st_mode & 07777, spoil->mode);
    T_SYS(unlink(path));
    T_SYS(rmdir(folder(dir)));
}

#define GOOD_SIZE SHMKITI_TABLE_OFFSET(1)
#define SPOILT(what, want, ...)                                      \
    {                                                                \
        what, want, .size = GOOD_SIZE, .segments = 1, .mode = 01600, \
                    __VA_ARGS__                                      \
    }

static void
test_spoilt_family_files_are_refused_and_kept(void)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    static const struct spoil spoils[] = {
        SPOILT("other magic", -EBADMSG, .magic = true),
        SPOILT("other layout", -EPROTONOSUPPORT, .layout = true),
        SPOILT("no segment", -EBADMSG, .segments = 0),
        SPOILT("too many segments", -EBADMSG, .segments = 14),
        SPOILT("most segments", -EBADMSG, .segments = UINT32_MAX),
        SPOILT("segments beyond the end", -EBADMSG, .segments = 2),
        SPOILT("empty", -EBADMSG, .size = 0),
        SPOILT("shorter than page 0", -EBADMSG, .size = 39),
        SPOILT("page 0 only", -EBADMSG, .size = 4096),
        SPOILT("one byte short", -EBADMSG, .size = GOOD_SIZE - 1),
        SPOILT("kept names beyond page 0", -EBADMSG, .kept_len = 3841),
        SPOILT("most kept names", -EBADMSG, .kept_len = UINT32_MAX),
        SPOILT("not sticky", -EBADMSG, .mode = 0600),
    };
#pragma GCC diagnostic pop

    for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++)
        refuse_spoilt(&spoils[i]);
}

/* A file of ours with nothing wrong is joined: or the above proves nothing. */
static void
test_planted_family_file_is_joined_when_sound(void)
{
    static const struct spoil sound = {"sound", 0, .size = GOOD_SIZE,
                                       .segments = 1, .mode = 01600};
    char id[SHMKIT_FAMILY_ID_SIZE];

    (void)plant_family(&sound);
    T_CHECK_EQ(shmkit_family_join(ID), 0);
    own_id(id);
    T_CHECK_STR(id, ID);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK_EQ(unit_family_count(), 1);
}

static void
test_spoilt_file_does_not_hinder_others(void)
{
    static const struct spoil spoil =
        SPOILT("other magic", -EBADMSG, .magic = true);
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE], path[128];

    (void)plant_family(&spoil);
    t_scratch_name(name, "beside");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, 0), 0);
    unit_puppet_kill(&maker);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(unit_family_count(), 1);
    T_SYS(unlink(family_path(ID, path)));
    T_CHECK_EQ(unit_sweep(), 0); /* takes the empty folder */
}

/* Other things than files in the family's folder. */
static void
test_strange_entries_in_the_folder(void)
{
    char name[T_NAME_SIZE], dir[64], path[128];
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "strange"), SIZE, 0, 0);
    T_SYS(mkdir(family_path("sub", path), 0700));
    T_SYS(mkfifo(family_path("fifo", path), 01600));
    T_SYS(symlink("/etc/passwd", family_path(ID, path)));
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(shmkit_family_join(ID) < 0);
    shmkit_block_close(block);
    shmkit_process_exit();
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(unit_family_count(), 3);
    T_SYS(unlink(path));
    T_SYS(unlink(family_path("fifo", path)));
    T_SYS(rmdir(family_path("sub", path)));
    T_SYS(rmdir(folder(dir)));
}

static void
test_too_many_families_is_emfile(void)
{
    static const struct spoil sound = {"sound", 0, .size = GOOD_SIZE,
                                       .segments = 1, .mode = 01600};
    char from[128], to[128], id[SHMKIT_FAMILY_ID_SIZE];
    int r = 0, made;

    for (made = 0; made < 1000 && r == 0; made++) {
        (void)plant_family(&sound);
        (void)snprintf(id, sizeof id, "%016x", made);
        T_SYS(rename(family_path(ID, from), family_path(id, to)));
        r = shmkit_family_join(id);
    }
    T_CHECK_EQ(r, -EMFILE);
    T_CHECK(made > 2);
    T_CHECK_EQ(unit_family_count(), made);
    T_CHECK_EQ(unit_sweep(), 0); /* the one that was refused */
    T_CHECK_EQ(unit_family_count(), made - 1);
}

/* ---- the folder ---- */

static int
squat(struct unit_call *call)
{
    return mkdir(call->name, 0777) < 0 ? -errno : 0;
}

static void
remove_squats(void)
{
    char path[64];

    for (int i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path,
                       i ? "/dev/shm/shmkit-0.%d" : "/dev/shm/shmkit-0", i);
        (void)remove(path);
    }
}

static void
squat_on(struct unit_puppet *other, int upto)
{
    for (int i = 0; i < upto; i++) {
        (void)snprintf(other->call->name, sizeof other->call->name,
                       i ? "/dev/shm/shmkit-0.%d" : "/dev/shm/shmkit-0", i);
        T_CHECK_EQ(unit_puppet_run(other, squat), 0);
    }
}

static void
test_squatted_folder_is_stepped_past(void)
{
    struct unit_puppet other, maker;
    char name[T_NAME_SIZE], path[64];
    struct stat st;

    if (geteuid() != 0)
        unit_skip("needs root to be somebody else");
    other = unit_puppet_start_as(UNIT_NOBODY);
    for (int squats = 1; squats < 4; squats++) {
        maker = unit_puppet_start();
        squat_on(&other, squats);
        t_scratch_name(name, "squatted");
        T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, 0), 0);
        (void)snprintf(path, sizeof path, "/dev/shm/shmkit-0.%d", squats);
        T_SYS(lstat(path, &st));
        T_CHECK_EQ(st.st_uid, 0);
        T_CHECK_EQ(st.st_mode & 0777, 0700);
        unit_puppet_kill(&maker);
        T_CHECK_EQ(unit_sweep(), 0);
        T_CHECK(!unit_exists(name));
        T_CHECK(lstat(path, &st) < 0);
        remove_squats();
    }
    unit_puppet_end(&other);
}

static void
test_all_folders_squatted_is_an_error(void)
{
    struct unit_puppet other;
    shmkit_block *block = NULL;

    if (geteuid() != 0)
        unit_skip("needs root to be somebody else");
    other = unit_puppet_start_as(UNIT_NOBODY);
    squat_on(&other, 4);
    T_CHECK(shmkit_family_form() < 0);
    T_CHECK(shmkit_block_create(NULL, SIZE, NULL, &block) < 0);
    T_CHECK(block == NULL);
    T_CHECK_EQ(unit_sweep(), 0);
    /* The other lifetimes need no family. */
    block = unit_create(NULL, SIZE, 0, SHMKIT_LIFETIME_HOLDERS);
    shmkit_block_close(block);
    unit_puppet_end(&other);
    remove_squats();
}

static void
test_folder_that_others_may_write_is_not_used(void)
{
    char dir[64], path[80];
    struct stat st;

    T_SYS(mkdir(folder(dir), 0700));
    T_SYS(chmod(dir, 0777));
    T_CHECK_EQ(shmkit_family_form(), 0);
    (void)snprintf(path, sizeof path, "%s.1", dir);
    T_SYS(lstat(path, &st));
    T_CHECK_EQ(unit_family_count(), 0);
    shmkit_process_exit();
    T_CHECK(lstat(path, &st) < 0);
    T_SYS(rmdir(dir));
}

static void
test_file_or_link_in_the_folders_place(void)
{
    char dir[64], path[80];
    struct stat st;
    int fd;

    (void)snprintf(path, sizeof path, "%s.1", folder(dir));
    fd = T_SYS(open(dir, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    T_SYS(close(fd));
    T_CHECK_EQ(shmkit_family_form(), 0);
    T_SYS(lstat(path, &st));
    shmkit_process_exit();
    T_SYS(unlink(dir));
    T_SYS(symlink("/tmp", dir));
    T_CHECK_EQ(shmkit_family_form(), 0);
    T_SYS(lstat(path, &st));
    shmkit_process_exit();
    T_SYS(unlink(dir));
}

/* `rm -rf`, or RemoveIPC at log-out: noticed within a second. */
static void
test_deleted_family_file_is_replaced(void)
{
    char before[SHMKIT_FAMILY_ID_SIZE], after[SHMKIT_FAMILY_ID_SIZE];
    char old[T_NAME_SIZE], new[T_NAME_SIZE], path[128], dir[64];
    shmkit_block *one, *two;

    one = unit_create(t_scratch_name(old, "old"), SIZE, 0, 0);
    own_id(before);
    T_SYS(unlink(family_path(before, path)));
    T_SYS(rmdir(folder(dir)));
    t_sleep_ms(1200); /* it looks once a second */
    two = unit_create(t_scratch_name(new, "new"), SIZE, 0, 0);
    own_id(after);
    T_CHECK(strcmp(before, after) != 0);
    T_CHECK_EQ(unit_family_count(), 1);
    T_CHECK_EQ(unit_stat(new).state, SHMKIT_STATE_LIVE);
    /* Still known as its own: attached without a lock, unlinked. */
    shmkit_block_close(unit_attach(old, 0));
    T_CHECK_EQ(shmkit_block_unlink(old, NULL), 0);
    shmkit_block_close(two);
    shmkit_block_close(one);
    shmkit_process_exit();
    T_CHECK(!unit_exists(new));
}

int
main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_no_family_before_the_first_create),
        UNIT_CASE(test_family_is_one_private_sticky_file),
        UNIT_CASE(test_leaving_removes_the_folder_too),
        UNIT_CASE(test_forked_child_is_in_the_family),
        UNIT_CASE(test_join_by_id_keeps_the_family),
        UNIT_CASE(test_joining_does_not_leave_earlier_families),
        UNIT_CASE(test_join_of_no_family),
        UNIT_CASE(test_join_of_a_zombie_is_eownerdead),
        UNIT_CASE(test_join_revives_what_nobody_swept),
        UNIT_CASE(test_descriptor_keeps_the_family_through_exec),
        UNIT_CASE(test_second_program_joins_by_descriptor),
        UNIT_CASE(test_second_program_joins_by_environment),
        UNIT_CASE(test_stale_environment_forms_a_family),
        UNIT_CASE(test_descriptor_is_kept_once),
        UNIT_CASE(test_descriptor_closed_by_user_code),
        UNIT_CASE(test_join_fd_of_something_else),
        UNIT_CASE(test_spoilt_family_files_are_refused_and_kept),
        UNIT_CASE(test_planted_family_file_is_joined_when_sound),
        UNIT_CASE(test_spoilt_file_does_not_hinder_others),
        UNIT_CASE(test_strange_entries_in_the_folder),
        UNIT_CASE(test_too_many_families_is_emfile),
        UNIT_CASE(test_squatted_folder_is_stepped_past),
        UNIT_CASE(test_all_folders_squatted_is_an_error),
        UNIT_CASE(test_folder_that_others_may_write_is_not_used),
        UNIT_CASE(test_file_or_link_in_the_folders_place),
        UNIT_CASE(test_deleted_family_file_is_replaced),
    };

    if (argc == 6)
        return second_program(argv);
    return UNIT_MAIN("family", "size=256m", cases);
}
