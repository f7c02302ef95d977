/* SPDX-License-Identifier: MIT */
/* text.c - bytes that others chose, made fit to print.
 *
 * A name in /dev/shm is any bytes but '/' and NUL, and a command's name in
 * /proc is whatever its process wrote there: control sequences that rename a
 * terminal's title, line ends that forge a second row.  Whatever goes to a
 * table or a message passes through escape(); whatever goes to JSON through
 * json_string().  Both keep every byte, so the original can be had back. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

const char *
name_of(const char *operand)
{
    static const char folder[] = "/dev/shm/";

    if (strncmp(operand, folder, sizeof folder - 1) == 0)
        return operand + sizeof folder - 1;
    return operand[0] == '/' ? operand + 1 : operand;
}

/* Length of the character at `bytes` if it may be printed as it is, else 0.
 * Marks that combine with their neighbour, and those that turn the direction
 * of writing, have width 0 and may not.  White space may not either, so that
 * a name is one word: but for the plain space where quotes stand round it. */
static size_t
printable_length(const char *bytes, bool quoted)
{
    mbstate_t state;
    wchar_t wide;
    size_t n;

    if (*bytes == ' ')
        return quoted;
    memset(&state, 0, sizeof state);
    n = mbrtowc(&wide, bytes, MB_CUR_MAX, &state);
    if (n == 0 || n > MB_CUR_MAX)
        return 0;
    if (wide == L'\\' || iswspace((wint_t)wide) || wcwidth(wide) <= 0)
        return 0;
    return n;
}

static void
escape_bytes(const char *bytes, char escaped[ESCAPED_SIZE], bool quoted)
{
    char *out = escaped, *last = escaped + ESCAPED_SIZE - 5;
    size_t n;

    while (*bytes != '\0' && out < last) {
        n = printable_length(bytes, quoted);
        if (n > 0 && n <= 4) {
            memcpy(out, bytes, n);
            bytes += n;
            out += n;
        } else if (*bytes == '\\') {
            memcpy(out, "\\\\", 2);
            bytes++;
            out += 2;
        } else {
            snprintf(out, 5, "\\x%02x", (unsigned char)*bytes++);
            out += 4;
        }
    }
    *out = '\0';
}

void
escape(const char *bytes, char escaped[ESCAPED_SIZE])
{
    escape_bytes(bytes, escaped, false);
}

const char *
quote(const char *bytes)
{
    static char ring[4][ESCAPED_SIZE + 2];
    static unsigned turn;
    char *text = ring[turn++ % 4];

    text[0] = '\'';
    escape_bytes(bytes, text + 1, true);
    strcat(text, "'");
    return text;
}

size_t
display_width(const char *escaped)
{
    mbstate_t state;
    size_t width = 0, n;
    wchar_t wide;

    memset(&state, 0, sizeof state);
    for (; *escaped != '\0'; escaped += n) {
        n = mbrtowc(&wide, escaped, MB_CUR_MAX, &state);
        if (n == 0 || n > MB_CUR_MAX)
            return width + strlen(escaped);
        width += (size_t)(wcwidth(wide) > 0 ? wcwidth(wide) : 0);
    }
    return width;
}

/* Strict UTF-8, whatever the locale: JSON knows no other.  Length of the
 * character, 0 if there is none. */
static size_t
utf8_decode(const unsigned char *p, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xc2 ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
               : p[0] < 0xf5 ? 4
                             : 0;
    uint32_t code = n == 1 ? p[0] : p[0] & (0x7fu >> n);

    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    if (n == 0 || code < least[n] || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return n;
}

static void
json_character(FILE *out, uint32_t code)
{
    if (code == '"' || code == '\\')
        fprintf(out, "\\%c", (int)code);
    else if (code >= 0x20 && code < 0x7f)
        fputc((int)code, out);
    else if (code < 0x10000)
        fprintf(out, "\\u%04x", (unsigned)code);
    else
        fprintf(out, "\\u%04x\\u%04x",
                (unsigned)(0xd800 + ((code - 0x10000) >> 10)),
                (unsigned)(0xdc00 + ((code - 0x10000) & 0x3ff)));
}

void
json_string(FILE *out, const char *bytes)
{
    const unsigned char *p = (const unsigned char *)bytes;
    uint32_t code;
    size_t n;

    fputc('"', out);
    while (*p != '\0') {
        n = utf8_decode(p, &code);
        if (n == 0)
            fprintf(out, "\\udc%02x", (unsigned)*p++);
        else
            json_character(out, code);
        p += n;
    }
    fputc('"', out);
}
