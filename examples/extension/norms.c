/* Squared norms of 8-bit vectors, by the kernels of halpbench. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <halp/api.h>

static const halp_api *halp;

static PyObject *squared_norm(PyObject *module, PyObject *argument)
{
    (void)module;
    Py_buffer x;
    if (PyObject_GetBuffer(argument, &x, PyBUF_SIMPLE)) return NULL;
    const int64_t sum = halp->active()->dot_i8_any((size_t)x.len, x.buf, x.buf);
    PyBuffer_Release(&x);
    return PyLong_FromLongLong(sum);
}

static PyObject *backend(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return PyUnicode_FromString(halp->active()->name);
}

static PyMethodDef methods[] = {
    {"squared_norm", squared_norm, METH_O, "Return the sum of squares of int8 numbers."},
    {"backend", backend, METH_NOARGS, "Return the name of the backend in use."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "norms",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_norms(void)
{
    halp = halp_import();
    return halp ? PyModule_Create(&definition) : NULL;
}
