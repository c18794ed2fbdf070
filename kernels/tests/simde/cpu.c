/* Instead of ../../cpu.c: emulation runs every instruction set. */
#include "cpu.h"

uint32_t halp_cpu_features(void) { return UINT32_MAX; }
