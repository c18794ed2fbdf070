/* The kernels without Python:
 *
 *     include=$(python -c 'import halpbench; print(halpbench.get_include())')
 *     export PKG_CONFIG_PATH=$include/../lib/pkgconfig
 *     cc -std=c11 dot.c $(pkg-config --cflags --libs halp) -o dot && ./dot
 */
#include <halp/kernels.h>
#include <stdio.h>

int main(void)
{
    const int8_t x[5] = {1, -2, 3, -4, 5}, y[5] = {127, 127, 127, 127, 127};
    const halp_backend *best = halp_best();
    printf("%d.%d %s: %lld\n", HALP_VERSION_MAJOR, HALP_VERSION_MINOR, best->name,
           (long long)best->dot_i8(5, x, y));
    return 0;
}
