/* Template: lowest, for all backends. DATA is the type, FORMAT(op) adds the format to a name. */
static int HALP_NAME(FORMAT(halp_lowest))(size_t n, const DATA *x)
{
    DATA lowest = 0;
    for (size_t j = 0; j < n; j++) lowest = x[j] < lowest ? x[j] : lowest;
    return lowest;
}

#undef FORMAT
#undef DATA
