/* The backends compiled in, best first, and the choice among them. The build defines HALP_HAVE_<ISA>
 * for each backend whose file it could compile. */
#include "kernels.h"

#include <string.h>

#ifdef HALP_HAVE_AVX512VNNI
extern const halp_backend halp_backend_avx512vnni;
#endif
#ifdef HALP_HAVE_AVX512
extern const halp_backend halp_backend_avx512;
#endif
#ifdef HALP_HAVE_AVX2
extern const halp_backend halp_backend_avx2;
#endif
#ifdef HALP_HAVE_SSE41
extern const halp_backend halp_backend_sse41;
#endif
#ifdef HALP_HAVE_NEON
extern const halp_backend halp_backend_neon;
#endif
extern const halp_backend halp_backend_scalar;

const halp_backend *const halp_backends[] = {
#ifdef HALP_HAVE_AVX512VNNI
    &halp_backend_avx512vnni,
#endif
#ifdef HALP_HAVE_AVX512
    &halp_backend_avx512,
#endif
#ifdef HALP_HAVE_AVX2
    &halp_backend_avx2,
#endif
#ifdef HALP_HAVE_SSE41
    &halp_backend_sse41,
#endif
#ifdef HALP_HAVE_NEON
    &halp_backend_neon,
#endif
    &halp_backend_scalar, /* always there, and always usable */
    NULL,
};

int halp_usable(const halp_backend *backend)
{
    return (backend->required & ~halp_cpu_features()) == 0;
}

const halp_backend *halp_find(const char *name)
{
    for (const halp_backend *const *b = halp_backends; *b; b++)
        if (strcmp((*b)->name, name) == 0) return *b;
    return NULL;
}

const halp_backend *halp_best(void)
{
    const halp_backend *const *b = halp_backends;
    while (!halp_usable(*b)) b++;
    return *b;
}
