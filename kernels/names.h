/* Names of one backend's functions: HALP_NAME(op) is op_<isa>, for the HALP_ISA that is defined. */
#ifndef HALP_NAMES_H
#define HALP_NAMES_H

#define HALP_PASTE(a, b) a##_##b
#define HALP_EXPAND(a, b) HALP_PASTE(a, b)
#define HALP_NAME(op) HALP_EXPAND(op, HALP_ISA)
#define HALP_SCALAR(op) HALP_EXPAND(op, scalar)

#endif
