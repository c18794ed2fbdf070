/* Template: accumulate of family.h, exact sums of integers, two rows at a time. */
enum { CHANGES_OUTPUTS = 3, CHANGES_VECTORS = 4 }; /* at most, whose sums stay in registers */

#define FORMAT(op) op##_i8
#define DATA int8_t
#define LOAD(p) v_load_widen_i8(p)
#include "changes_format.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#define LOAD(p) v_load(p)
#include "changes_format.h"
