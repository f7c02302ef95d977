/* SPDX-License-Identifier: MIT */
/* scalar.c - from Python objects to cells and back.
 *
 * The rules are those of ctypes: integers wrap around, a bool is an integer,
 * floats take what has __float__.  Here are only the cases in which no Python
 * code runs and nothing can fail; for the rest the callers let ctypes do it,
 * so that its errors are its own.
 *
 * Shared cells are read and written one by one with relaxed atomics: a reader
 * without the lock sees old or new, never half of each. */
#include "core.h"
#include "value.h"

#include <string.h>

PyObject *
scalar_to_object(uint32_t type, shmkit_scalar value)
{
    switch (type) {
        case SHMKIT_BOOL:
            return PyBool_FromLong(value.u8 != 0);
        case SHMKIT_INT8:
            return PyLong_FromLong(value.i8);
        case SHMKIT_INT16:
            return PyLong_FromLong(value.i16);
        case SHMKIT_INT32:
            return PyLong_FromLong(value.i32);
        case SHMKIT_INT64:
            return PyLong_FromLongLong(value.i64);
        case SHMKIT_UINT8:
            return PyLong_FromLong(value.u8);
        case SHMKIT_UINT16:
            return PyLong_FromLong(value.u16);
        case SHMKIT_UINT32:
            return PyLong_FromUnsignedLong(value.u32);
        case SHMKIT_UINT64:
            return PyLong_FromUnsignedLongLong(value.u64);
        case SHMKIT_FLOAT:
            return PyFloat_FromDouble((double)value.f);
        case SHMKIT_DOUBLE:
            return PyFloat_FromDouble(value.d);
        case SHMKIT_CHAR:
            return PyBytes_FromStringAndSize(&value.c, 1);
        default:
            return PyUnicode_FromWideChar(&value.w, 1);
    }
}

/* ---- from objects ---- */

static int
is_integer(uint32_t type)
{
    return type >= SHMKIT_INT8 && type <= SHMKIT_UINT64;
}

static void
set_integer(uint32_t type, unsigned long long bits, shmkit_scalar *ret)
{
    switch (shmkit_type_size(type)) {
        case 1:
            ret->u8 = (uint8_t)bits;
            break;
        case 2:
            ret->u16 = (uint16_t)bits;
            break;
        case 4:
            ret->u32 = (uint32_t)bits;
            break;
        default:
            ret->u64 = bits;
    }
}

static unsigned long long
integer_of(PyObject *object)
{
    int overflow;
    long value = PyLong_AsLongAndOverflow(object, &overflow);

    return overflow == 0 ? (unsigned long long)value
                         : PyLong_AsUnsignedLongLongMask(object);
}

/* A float or an int that one can hold. */
static int
real_of(PyObject *object, double *ret)
{
    if (PyFloat_CheckExact(object)) {
        *ret = PyFloat_AS_DOUBLE(object);
        return 1;
    }
    if (!PyLong_CheckExact(object))
        return 0;
    *ret = PyLong_AsDouble(object);
    if (*ret == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return 1;
}

static int
text_of(uint32_t type, PyObject *object, shmkit_scalar *ret)
{
    wchar_t text[2];

    if (type == SHMKIT_CHAR) {
        if (!PyBytes_CheckExact(object) || PyBytes_GET_SIZE(object) != 1)
            return 0;
        ret->c = PyBytes_AS_STRING(object)[0];
        return 1;
    }
    if (!PyUnicode_CheckExact(object) || PyUnicode_GetLength(object) != 1 ||
        PyUnicode_AsWideChar(object, text, 2) != 1)
        return 0;
    ret->w = text[0];
    return 1;
}

int
scalar_from_object(uint32_t type, PyObject *object, shmkit_scalar *ret_value)
{
    double real;

    if (is_integer(type)) {
        if (!PyLong_Check(object))
            return 0;
        set_integer(type, integer_of(object), ret_value);
        return 1;
    }
    switch (type) {
        case SHMKIT_DOUBLE:
            return real_of(object, &ret_value->d);
        case SHMKIT_FLOAT:
            if (!real_of(object, &real))
                return 0;
            ret_value->f = (float)real;
            return 1;
        case SHMKIT_BOOL:
            if (!PyBool_Check(object))
                return 0;
            ret_value->u8 = object == Py_True;
            return 1;
        case SHMKIT_CHAR:
        case SHMKIT_WCHAR:
            return text_of(type, object, ret_value);
        default:
            return 0;
    }
}

/* ---- operands of atomic operations ---- */

static int
fits(uint32_t type, PyObject *integer)
{
    PyObject *back;
    shmkit_scalar value = {.u64 = 0};
    int same;

    set_integer(type, PyLong_AsUnsignedLongLongMask(integer), &value);
    back = scalar_to_object(type, value);
    if (back == NULL)
        return -1;
    same = PyObject_RichCompareBool(back, integer, Py_EQ);
    Py_DECREF(back);
    return same;
}

static int
integer_operand(uint32_t type, PyObject *object, int exact,
                shmkit_scalar *ret_value)
{
    PyObject *integer;
    int ok = 1;

    if (!exact && PyLong_CheckExact(object)) {
        set_integer(type, integer_of(object), ret_value);
        return 0;
    }
    integer = PyNumber_Index(object);
    if (integer == NULL)
        return -1;
    if (exact)
        ok = fits(type, integer);
    if (ok == 0)
        PyErr_Format(PyExc_OverflowError, "%R does not fit the value's type",
                     object);
    if (ok == 1)
        set_integer(type, PyLong_AsUnsignedLongLongMask(integer), ret_value);
    Py_DECREF(integer);
    return ok == 1 ? 0 : -1;
}

static int
real_operand(uint32_t type, PyObject *object, shmkit_scalar *ret_value)
{
    double real = PyFloat_AsDouble(object);

    if (real == -1.0 && PyErr_Occurred())
        return -1;
    if (type == SHMKIT_FLOAT)
        ret_value->f = (float)real;
    else
        ret_value->d = real;
    return 0;
}

int
scalar_operand(uint32_t type, PyObject *object, int exact,
               shmkit_scalar *ret_value)
{
    int truth;

    if (is_integer(type))
        return integer_operand(type, object, exact, ret_value);
    if (type == SHMKIT_FLOAT || type == SHMKIT_DOUBLE)
        return real_operand(type, object, ret_value);
    if (type == SHMKIT_BOOL) {
        truth = PyObject_IsTrue(object);
        ret_value->u8 = truth == 1;
        return truth < 0 ? -1 : 0;
    }
    if (text_of(type, object, ret_value))
        return 0;
    PyErr_SetString(PyExc_TypeError,
                    type == SHMKIT_CHAR
                        ? "one character bytes expected"
                        : "unicode string of length 1 expected");
    return -1;
}

/* ---- many ---- */

static PyObject *
list_of(uint32_t type, const char *data, Py_ssize_t count)
{
    size_t size = shmkit_type_size(type);
    PyObject *list = PyList_New(count), *item;
    shmkit_scalar value = {.u64 = 0};
    Py_ssize_t i;

    for (i = 0; list != NULL && i < count; i++) {
        memcpy(&value, data + (size_t)i * size, size);
        item = scalar_to_object(type, value);
        if (item == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, item);
    }
    return list;
}

PyObject *
scalars_to_object(uint32_t type, const void *data, Py_ssize_t count)
{
    if (type == SHMKIT_CHAR)
        return PyBytes_FromStringAndSize(data, count);
    if (type == SHMKIT_WCHAR)
        return PyUnicode_FromWideChar(data, count);
    return list_of(type, data, count);
}

static int
reals_from_items(PyObject *const *items, Py_ssize_t count, double *data)
{
    Py_ssize_t i;

    for (i = 0; i < count; i++) {
        if (!real_of(items[i], &data[i]))
            return 0;
    }
    return 1;
}

static int
integers_from_items(uint32_t type, PyObject *const *items, Py_ssize_t count,
                    char *data)
{
    size_t size = shmkit_type_size(type);
    shmkit_scalar value = {.u64 = 0};
    Py_ssize_t i;

    for (i = 0; i < count; i++, data += size) {
        if (!PyLong_Check(items[i]))
            return 0;
        set_integer(type, integer_of(items[i]), &value);
        scalar_store(data, (uint32_t)size, value);
    }
    return 1;
}

int
scalars_from_items(uint32_t type, PyObject *const *items, Py_ssize_t count,
                   void *data)
{
    size_t size = shmkit_type_size(type);
    shmkit_scalar value = {.u64 = 0};
    char *to = data;
    Py_ssize_t i;

    if (type == SHMKIT_DOUBLE)
        return reals_from_items(items, count, data);
    if (is_integer(type))
        return integers_from_items(type, items, count, data);
    for (i = 0; i < count; i++, to += size) {
        if (!scalar_from_object(type, items[i], &value))
            return 0;
        scalar_store(to, (uint32_t)size, value);
    }
    return 1;
}

/* ---- buffers ---- */

/* One letter a kind: integers of either sign are alike, as ctypes takes them
 * modulo their size. */
static char
kind_of_format(const char *format)
{
    if (format == NULL)
        return 'i';
#if PY_LITTLE_ENDIAN
    if (*format == '@' || *format == '=' || *format == '<')
#else
    if (*format == '@' || *format == '=' || *format == '>' || *format == '!')
#endif
        format++;
    if (format[0] == '\0' || format[1] != '\0')
        return 0;
    if (strchr("bBhHiIlLqQnN", *format) != NULL)
        return 'i';
    if (*format == 'f' || *format == 'd')
        return 'f';
    if (*format == '?' || *format == 'c')
        return *format;
    return 0;
}

int
scalars_match(uint32_t type, const Py_buffer *view)
{
    char kind = kind_of_format(view->format);

    if (view->ndim != 1 || (size_t)view->itemsize != shmkit_type_size(type))
        return 0;
    switch (type) {
        case SHMKIT_BOOL:
            return kind == '?';
        case SHMKIT_FLOAT:
        case SHMKIT_DOUBLE:
            return kind == 'f';
        case SHMKIT_CHAR:
            return kind == 'c' || kind == 'i';
        case SHMKIT_WCHAR:
            return 0;
        default:
            return kind == 'i';
    }
}
