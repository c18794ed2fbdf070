/* The kernels of the Python package halpbench for other extension modules: a table that they get at run
 * time, so that there is nothing to link. In a module that includes Python.h before this file:
 *
 *     const halp_api *halp = halp_import();       in the function that initializes it
 *     if (!halp) return NULL;                     an ImportError says why
 *     ... halp->active()->dot_i8(n, x, y)         later, with the interpreter's lock or without
 *
 * The contract of what is in it is that of kernels.h. */
#ifndef HALP_API_H
#define HALP_API_H

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HALP_API_CAPSULE "halpbench._kernels.C_API"

typedef struct halp_api {
    uint32_t version;       /* HALP_VERSION of the package that is installed */
    uint32_t backend_bytes; /* sizeof(halp_backend) there */
    const halp_backend *(*active)(
        void); /* the one that HALPBENCH_ISA or kernels.use() has chosen */
    const halp_backend *const *backends; /* halp_backends */
    int (*usable)(const halp_backend *); /* halp_usable, and so on */
    const halp_backend *(*find)(const char *);
    const halp_backend *(*best)(void);
    void (*rng_init)(halp_rng *, uint64_t, halp_rounding);
    halp_h (*encode_h_i8)(size_t, size_t, const double *, double, halp_rng *, int16_t *);
    halp_h (*encode_h_i16)(size_t, size_t, const double *, double, int, halp_rng *, int16_t *);
} halp_api;

#ifdef Py_PYTHON_H
/* The table, or NULL and an exception: ImportError where the package is missing, or is of another
 * version than the headers (while the major version is 0, a minor version may change the layout). */
static inline const halp_api *halp_import(void)
{
    PyObject *module = PyImport_ImportModule("halpbench.kernels"); /* reads HALPBENCH_ISA */
    if (!module) return NULL;
    Py_DECREF(module); /* sys.modules keeps it */
    const halp_api *api = (const halp_api *)PyCapsule_Import(HALP_API_CAPSULE, 0);
    if (api &&
        (api->version / 100 != HALP_VERSION / 100 || api->backend_bytes != sizeof(halp_backend))) {
        PyErr_Format(
            PyExc_ImportError,
            "halpbench %d.%d is installed, and this module was compiled for %d.%d; compile "
            "it again",
            (int)(api->version / 10000), (int)(api->version / 100 % 100), HALP_VERSION_MAJOR,
            HALP_VERSION_MINOR);
        return NULL;
    }
    return api;
}
#endif

#ifdef __cplusplus
}
#endif

#endif
