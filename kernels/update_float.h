/* Template of update.h: one floating-point format. REAL is the type, LANES how many a vector VEC has,
 * V(op) an operation of the vocabulary, FORMAT(op) adds the format to a name. */

/* `rows` rows of the batch, and h if they are the last, in m columns of an output. */
typedef struct {
    size_t m;
    REAL *w;
    const REAL *x[8];
    REAL c[8];
    const REAL *h; /* or NULL */
    REAL factor;
} FORMAT(update_piece);

/* The vector of columns from j on; other columns than those of `mask` count as zeros. */
HALP_INLINE VEC FORMAT(updated)(const size_t rows, const bool has_h, const FORMAT(update_piece) * p,
                                const VEC *c, size_t j, const bool masked, vi mask)
{
    VEC w_j = V(load)(p->w + j);
    for (size_t b = 0; b < rows; b++) {
        const vi x_b = v_load(p->x[b] + j);
        w_j = V(fnma)(c[b], V(bits)(masked ? v_and(x_b, mask) : x_b), w_j);
    }
    if (!has_h) return w_j;
    const vi h_j = v_load(p->h + j);
    return V(fnma)(V(set1)(p->factor), V(bits)(masked ? v_and(h_j, mask) : h_j), w_j);
}

HALP_INLINE void FORMAT(update_columns)(const size_t rows, const bool has_h,
                                        const FORMAT(update_piece) * p, const halp_update *u,
                                        size_t next_rows, size_t start)
{
    VEC c[8];
    for (size_t b = 0; b < rows; b++) c[b] = V(set1)(p->c[b]);
    size_t j = 0;
    for (; j + LANES <= p->m; j += LANES) {
        prefetch_rows(u->next, next_rows, (start + j) * sizeof(REAL));
        V(store)(p->w + j, FORMAT(updated)(rows, has_h, p, c, j, false, v_zero()));
    }
    if (j == p->m) return;
    if (j > 0) { /* with some of the columns before, which keep their bits */
        const vi mask = v_last_bytes((p->m - j) * sizeof(REAL));
        REAL *last = p->w + p->m - LANES;
        const vi old = v_load(last);
        const VEC moved = FORMAT(updated)(rows, has_h, p, c, p->m - LANES, true, mask);
        v_store(last, v_xor(old, v_and(v_xor(old, V(to_bits)(moved)), mask)));
        return;
    }
    for (; j < p->m; j++) {
        for (size_t b = 0; b < rows; b++) p->w[j] -= p->c[b] * p->x[b][j];
        if (has_h) p->w[j] -= p->factor * p->h[j];
    }
}

/* The next 8, 4, 2 or 1 rows from b on; returns how many. */
HALP_INLINE size_t FORMAT(update_rows)(const size_t rows, const halp_update *u, size_t start,
                                       size_t m, size_t r, size_t b)
{
    FORMAT(update_piece) p = {.m = m, .factor = (REAL)u->h.factor};
    p.w = (REAL *)u->w + r * u->ldw + start;
    for (size_t i = 0; i < rows; i++) {
        p.x[i] = (const REAL *)u->x[b + i] + start;
        p.c[i] = (REAL)u->c[(b + i) * u->count + r];
    }
    const size_t next_rows = r == 0 && b == 0 ? u->next_rows : 0;
    if (u->h.values && b + rows == u->rows) {
        p.h = (const REAL *)u->h.values + r * u->h.ld + start;
        FORMAT(update_columns)(rows, true, &p, u, next_rows, start);
    } else {
        FORMAT(update_columns)(rows, false, &p, u, next_rows, start);
    }
    return rows;
}

/* The columns from `first` to `last`, multiples of HALP_CHUNK or the end. */
static void FORMAT(update_range)(const halp_update *u, size_t first, size_t last)
{
    const size_t columns =
        2048 / sizeof(REAL); /* eight rows of them fit half of a small L1 cache */
    for (size_t start = first; start < last; start += columns) {
        const size_t m = last - start < columns ? last - start : columns;
        for (size_t r = 0; r < u->count; r++) {
            size_t b = 0;
            while (b + 8 <= u->rows) b += FORMAT(update_rows)(8, u, start, m, r, b);
            if (b + 4 <= u->rows) b += FORMAT(update_rows)(4, u, start, m, r, b);
            if (b + 2 <= u->rows) b += FORMAT(update_rows)(2, u, start, m, r, b);
            if (b < u->rows) FORMAT(update_rows)(1, u, start, m, r, b);
        }
    }
}

static void HALP_NAME(FORMAT(halp_update))(const halp_update *u)
{
    FORMAT(update_range)(u, 0, u->n);
}

#undef FORMAT
#undef REAL
#undef LANES
#undef VEC
#undef V
