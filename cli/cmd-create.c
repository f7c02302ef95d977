/* SPDX-License-Identifier: MIT */
/* cmd-create.c - `shmkit create`: makes a block, and may hold it while a
 * program runs.
 *
 * A command is gone as soon as it has done its work, and a `holders` or
 * `family` block would be gone with it.  So blocks are persistent here unless
 * asked otherwise, and the other two lifetimes need a COMMAND to live beside:
 * the tool waits for it with the block mapped.  COMMAND finds the name in
 * SHMKIT_BLOCK and, for `family`, the family in SHMKIT_FAMILY, so that what it
 * starts with this library keeps the block. */
#include <errno.h>
#include <shmkit/shmkit.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const struct option_spec create_options[] = {
    {'s', "size", "SIZE", "size: bytes, or 64K, 20M, 1.5G; must be given"},
    {'t', "lifetime", "LIFETIME",
     "persistent (default): until it is removed;\nholders: until the last "
     "process that maps it is gone;\nfamily: until COMMAND's family is gone"},
    {'m', "mode", "MODE", "permission bits, octal (default 0600)"},
    {'e', "exist-ok", NULL,
     "a block of this name that is large enough will do"},
    {'S', "sparse", NULL,
     "reserve no memory: if it runs out later, whoever\ntouches the block is "
     "killed by SIGBUS"},
    {'p', "prefault", NULL, "fill in the pages now, not at first touch"},
    {'H', "huge", NULL,
     "put it on 2 MiB pages or fail; without this, a block\nof 2M or more "
     "lies on them where the kernel can"},
    {'N', "no-huge", NULL, "put it on pages of 4 KiB, whatever its size"},
    {'l', "lock", NULL, "keep it in memory, unswapped, while COMMAND runs"},
    {'n', "numa", "PLACE",
     "which NUMA nodes have its memory: bind:NODES, only\nthese; "
     "interleave:NODES, page by page in turn;\nNODES as 0,2-3"},
    {0},
};

struct request {
    const char *name; /* NULL: draw one */
    uint64_t size;
    struct shmkit_block_options options;
    char **command; /* NULL: none */
};

/* COMMAND is what follows the first "--"; it is cut off before the options
 * are parsed, since getopt_long() would mix its words with ours. */
static int
cut_command(int argc, char **argv, char ***ret_command)
{
    *ret_command = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") != 0)
            continue;
        if (i + 1 < argc)
            *ret_command = argv + i + 1;
        return i;
    }
    return argc;
}

static int
parse_lifetime(const struct options *options, uint32_t *ret_lifetime)
{
    static const char *const names[] = {
        [SHMKIT_LIFETIME_FAMILY] = "family",
        [SHMKIT_LIFETIME_HOLDERS] = "holders",
        [SHMKIT_LIFETIME_PERSISTENT] = "persistent",
    };

    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(options->value, names[i]) == 0) {
            *ret_lifetime = i;
            return CODE_OK;
        }
    }
    return options_complain(
        options, "unknown lifetime %s; it is persistent, holders or family",
        quote(options->value));
}

static int
parse_mode(const struct options *options, uint32_t *ret_mode)
{
    const char *p = options->value;
    uint32_t mode = 0;

    for (; *p >= '0' && *p <= '7' && mode <= 0777; p++)
        mode = mode * 8 + (uint32_t)(*p - '0');
    if (*p != '\0' || p == options->value || mode > 0777)
        return options_complain(options,
                                "--mode %s is no octal number up to 0777",
                                quote(options->value));
    *ret_mode = mode;
    return CODE_OK;
}

/* "3" or "0-3" to the end of `text` or a comma; NULL when it is neither. */
static const char *
parse_node_range(const char *text, uint64_t *nodes)
{
    unsigned long first, last;
    char *end;

    if (*text < '0' || *text > '9')
        return NULL;
    first = last = strtoul(text, &end, 10);
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
        last = strtoul(end + 1, &end, 10);
    if ((*end != '\0' && *end != ',') || first > last || last > 63)
        return NULL;
    for (unsigned long node = first; node <= last; node++)
        *nodes |= UINT64_C(1) << node;
    return end;
}

static int
parse_place(const struct options *options,
            struct shmkit_block_options *ret_options)
{
    static const char bind[] = "bind:", interleave[] = "interleave:";
    const char *p = options->value;

    ret_options->nodes = 0;
    if (strncmp(p, bind, sizeof bind - 1) == 0) {
        ret_options->placement = SHMKIT_PLACEMENT_BIND;
        p += sizeof bind - 1;
    } else if (strncmp(p, interleave, sizeof interleave - 1) == 0) {
        ret_options->placement = SHMKIT_PLACEMENT_INTERLEAVE;
        p += sizeof interleave - 1;
    } else {
        p = NULL;
    }
    while (p != NULL) {
        p = parse_node_range(p, &ret_options->nodes);
        if (p != NULL && *p++ == '\0')
            return CODE_OK;
    }
    return options_complain(options,
                            "--numa %s is not bind:NODES or "
                            "interleave:NODES, with NODES as 0,2-3, up to 63",
                            quote(options->value));
}

static uint32_t
flag_of(int letter)
{
    switch (letter) {
        case 'e':
            return SHMKIT_EXIST_OK;
        case 'S':
            return SHMKIT_SPARSE;
        case 'p':
            return SHMKIT_PREFAULT;
        case 'H':
            return SHMKIT_HUGE;
        case 'N':
            return SHMKIT_NO_HUGE;
        default:
            return SHMKIT_LOCKED;
    }
}

static int
take_option(const struct options *options, int letter, struct request *request)
{
    switch (letter) {
        case 's':
            return size_option(options, "size", &request->size);
        case 't':
            return parse_lifetime(options, &request->options.lifetime);
        case 'm':
            return parse_mode(options, &request->options.mode);
        case 'n':
            return parse_place(options, &request->options);
        default:
            request->options.flags |= flag_of(letter);
            return CODE_OK;
    }
}

static int
check_pages(const struct options *options, const struct request *request)
{
    uint32_t flags = request->options.flags;

    if ((flags & SHMKIT_HUGE) != 0 && (flags & SHMKIT_NO_HUGE) != 0)
        return options_complain(options, "--huge contradicts --no-huge");
    if ((flags & SHMKIT_HUGE) != 0 && (flags & SHMKIT_SPARSE) != 0)
        return options_complain(
            options, "--huge takes its memory at once, --sparse none");
    if ((flags & SHMKIT_HUGE) != 0 && request->size < HUGE_SIZE)
        return options_complain(options, "--huge needs a size of 2M or more");
    if ((flags & SHMKIT_LOCKED) != 0 && request->command == NULL)
        return options_complain(
            options,
            "--lock ends with this command; say what to run meanwhile: "
            "shmkit create ... -- COMMAND");
    return CODE_OK;
}

static int
check_request(const struct options *options, const struct request *request)
{
    if (options->operand_count > 1)
        return options_complain(
            options, "unexpected operand %s; a COMMAND stands after '--'",
            quote(options->operands[1]));
    if (request->size == 0)
        return options_complain(options,
                                "a size above 0 must be given, as --size 20M");
    if (request->size > PTRDIFF_MAX)
        return options_complain(options, "no process can map so much");
    if (request->name == NULL && request->options.flags & SHMKIT_EXIST_OK)
        return options_complain(options, "--exist-ok needs a NAME");
    if (request->command == NULL &&
        request->options.lifetime != SHMKIT_LIFETIME_PERSISTENT)
        return options_complain(
            options,
            "such a block would be gone as soon as this command ends; use "
            "--lifetime persistent, or say what to run meanwhile: shmkit "
            "create ... -- COMMAND");
    return check_pages(options, request);
}

/* The same words for the block just made and for the one that was there. */
static int
tell_outcome(const struct request *request, const shmkit_block *block,
             bool existed)
{
    uintmax_t size = shmkit_block_size(block);

    if (existed && size < request->size)
        return fail(CODE_EXISTS,
                    "%s was there already, and its %ju bytes are fewer than "
                    "the %ju asked for; remove it or choose another name",
                    quote(request->name), size, (uintmax_t)request->size);
    if (existed)
        remark("%s was there already, with %ju bytes; it was left as it is",
               quote(request->name), size);
    if (request->name == NULL && request->command == NULL)
        output_line("%s\n", shmkit_block_name(block));
    return CODE_OK;
}

static int
run_beside(const struct request *request, const shmkit_block *block)
{
    char family[SHMKIT_FAMILY_ID_SIZE];
    int r;

    if (setenv("SHMKIT_BLOCK", shmkit_block_name(block), 1) < 0)
        return fail_memory();
    if (request->options.lifetime == SHMKIT_LIFETIME_FAMILY) {
        r = shmkit_family_get_id(family);
        if (r < 0)
            return fail_result(r, "cannot find the block's family");
        if (setenv("SHMKIT_FAMILY", family, 1) < 0)
            return fail_memory();
    }
    return process_run(request->command);
}

/* The library's words on a result know nothing of the options. */
static int
fail_create(const struct request *request, int result)
{
    const char *name = request->name ? quote(request->name) : "a block";
    struct shmkit_block_stat stat;
    bool good_name =
        request->name == NULL ||
        shmkit_block_stat(request->name, &stat, sizeof stat) != -EINVAL;

    if (result == -EINVAL && good_name && request->options.placement != 0)
        return fail(CODE_FAILED,
                    "cannot create %s: no NUMA node of --numa has memory "
                    "that this process may use; "
                    "/sys/devices/system/node/has_memory lists those there "
                    "are",
                    name);
    if ((result == -ENOMEM || result == -EPERM || result == -EAGAIN) &&
        (request->options.flags & SHMKIT_LOCKED) != 0)
        return fail(CODE_NO_SPACE,
                    "cannot create %s of %ju bytes and lock it: more than "
                    "the limit of locked memory, see 'ulimit -l', or than "
                    "there is",
                    name, (uintmax_t)request->size);
    return fail_result(result, "cannot create %s of %ju bytes", name,
                       (uintmax_t)request->size);
}

static unsigned
steps_of(const struct request *request)
{
    uint32_t flags = request->options.flags;

    return ((flags & SHMKIT_SPARSE) == 0 ? PROGRESS_RESERVE : 0) |
           ((flags & SHMKIT_PREFAULT) != 0 ? PROGRESS_PREFAULT : 0);
}

static int
create_block(const struct request *request)
{
    shmkit_block *block = NULL;
    int r, code;

    progress_start(request->size, steps_of(request));
    r = shmkit_block_create(request->name, (size_t)request->size,
                            &request->options, &block);
    progress_stop(r >= 0);
    if (r < 0)
        return fail_create(request, r);
    code = tell_outcome(request, block, r == SHMKIT_EXISTED);
    if (code == CODE_OK && request->command != NULL)
        code = run_beside(request, block);
    shmkit_block_close(block);
    return code;
}

static int
run_create(int argc, char **argv)
{
    struct request request = {.options = SHMKIT_BLOCK_OPTIONS_INIT};
    struct options options;
    int letter, code;

    request.options.lifetime = SHMKIT_LIFETIME_PERSISTENT;
    argc = cut_command(argc, argv, &request.command);
    options_start(&options, &command_create, argc, argv);
    while ((letter = options_next(&options)) >= 0) {
        code = take_option(&options, letter, &request);
        if (code != CODE_OK)
            return code;
    }
    if (letter == OPTIONS_STOP)
        return options.code;
    if (options.operand_count > 0)
        request.name = name_of(options.operands[0]);
    code = check_request(&options, &request);
    if (code != CODE_OK)
        return code;
    return create_block(&request);
}

const struct command command_create = {
    .name = "create",
    .usage = "--size SIZE [OPTION...] [NAME] [-- COMMAND [ARGUMENT...]]",
    .summary = "Make a block, all zero",
    .options = create_options,
    .run = run_create,
};
