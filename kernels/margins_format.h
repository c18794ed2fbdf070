/* Template of margins.h: one format.
 *
 *   FORMAT(op)                 adds the format to a name
 *   DATA, MODEL                types of the elements; WIDE, if the data are widened to it first
 *   LANES, CHUNK               columns in a vector, and in a chunk
 *   TILE_ROWS                  samples in a tile
 *   LOAD, AS_X, AS_W           bits of a vector of data; these and those of the model as STEP takes them
 *   ACC, X, STEP, TOTAL        type of an accumulator and of a vector of data; acc + x w; its sum
 *   EXCESS                     whether sums have an excess that depends on the model alone
 *   SCALAR                     what takes rows shorter than a vector
 */
#ifdef WIDE
#define ROW WIDE
#else
#define ROW DATA
#endif

HALP_INLINE void FORMAT(margins_step)(const int outputs, ACC *acc, X x, const vi *w)
{
    for (int r = 0; r < outputs; r++) acc[r] = STEP(acc[r], x, AS_W(w[r]));
}

HALP_INLINE void FORMAT(margins_tile)(const int samples, const int outputs, const margins_chunk *p,
                                      size_t b, size_t r)
{
    const ROW *const *x = (const ROW *const *)p->x + b;
    const MODEL *w = (const MODEL *)p->w + r * p->ldw;
    ACC acc[8][TILE_OUTPUTS];
    vi excess[TILE_OUTPUTS], w_j[TILE_OUTPUTS];
    for (int o = 0; o < outputs; o++) {
        excess[o] = v_zero();
        for (int s = 0; s < samples; s++) acc[s][o] = (ACC){0};
    }
    /* Once a chunk. */
    const size_t next_rows = b == 0 && r == 0 ? p->next_rows : 0;
    for (size_t j = 0; j < p->whole; j += LANES) {
        prefetch_rows(p->next, next_rows, j * sizeof(DATA));
        for (int o = 0; o < outputs; o++) {
            w_j[o] = v_load(w + (size_t)o * p->ldw + j);
            if (EXCESS) excess[o] = v_excess_i8(excess[o], w_j[o]);
        }
        for (int s = 0; s < samples; s++)
            FORMAT(margins_step)(outputs, acc[s], AS_X(LOAD(x[s] + j)), w_j);
    }
    if (p->rest) {
        const vi mask = v_last_bytes(p->rest * sizeof(MODEL));
        for (int o = 0; o < outputs; o++) {
            w_j[o] = v_and(v_load(w + (size_t)o * p->ldw + p->last_w), mask);
            if (EXCESS) excess[o] = v_excess_i8(excess[o], w_j[o]);
        }
        for (int s = 0; s < samples; s++)
            FORMAT(margins_step)(outputs, acc[s], AS_X(v_and(LOAD(x[s] + p->last_x), mask)), w_j);
    }
    for (int s = 0; s < samples; s++)
        for (int o = 0; o < outputs; o++)
            p->sums[(b + (size_t)s) * p->count + r + (size_t)o] +=
                (double)TOTAL(acc[s][o], excess[o]);
}

HALP_INLINE void FORMAT(margins_rows)(const int outputs, size_t rows, const margins_chunk *p,
                                      size_t r)
{
    size_t b = 0;
    if (outputs == 1)
        for (; b + 2 * TILE_ROWS <= rows; b += 2 * TILE_ROWS)
            FORMAT(margins_tile)(2 * TILE_ROWS, outputs, p, b, r);
    for (; b + TILE_ROWS <= rows; b += TILE_ROWS) FORMAT(margins_tile)(TILE_ROWS, outputs, p, b, r);
    for (; b + 2 <= rows; b += 2) FORMAT(margins_tile)(2, outputs, p, b, r);
    for (; b < rows; b++) FORMAT(margins_tile)(1, outputs, p, b, r);
}

#ifdef WIDE
/* The rows of a chunk, widened; behind the whole vectors the last one. */
HALP_INLINE void FORMAT(margins_widen)(margins_chunk *p, size_t rows, WIDE *wide)
{
    for (size_t b = 0; b < rows; b++, wide += CHUNK) {
        const DATA *x = p->x[b];
        for (size_t j = 0; j < p->whole; j += LANES) v_store(wide + j, v_load_widen_i8(x + j));
        if (p->rest) v_store(wide + p->whole, v_load_widen_i8(x + p->last_x));
        p->x[b] = wide;
    }
    p->last_x = (ptrdiff_t)p->whole;
}
#endif

/* The columns from `start` on of a few rows from `first` on; and as many of those that come next. */
HALP_INLINE margins_chunk FORMAT(margins_chunk_of)(const halp_margins *m, size_t first,
                                                   size_t start)
{
    const size_t columns = m->n - start < CHUNK ? m->n - start : CHUNK;
    margins_chunk p = {
        .w = (const MODEL *)m->w + start,
        .ldw = m->ldw,
        .sums = m->sums + first * m->count,
        .count = m->count,
        .rest = columns % LANES,
        .whole = columns - columns % LANES,
        .last_x = (ptrdiff_t)columns - (ptrdiff_t)LANES,
        .last_w = (ptrdiff_t)columns - (ptrdiff_t)LANES,
    };
    for (size_t b = 0; b < GROUP_ROWS && first + b < m->rows; b++)
        p.x[b] = (const DATA *)m->x[first + b] + start;
    for (size_t b = first; b < m->next_rows && p.next_rows < GROUP_ROWS; b++)
        p.next[p.next_rows++] = (const DATA *)m->next[b] + start;
    return p;
}

static void HALP_NAME(FORMAT(halp_margins))(const halp_margins *m)
{
    if (m->n < LANES) {
        SCALAR(m);
        return;
    }
#ifdef WIDE
    WIDE wide[GROUP_ROWS * CHUNK];
#endif
    memset(m->sums, 0, m->rows * m->count * sizeof *m->sums);
    for (size_t first = 0; first < m->rows; first += GROUP_ROWS)
        for (size_t start = 0; start < m->n; start += CHUNK) {
            const size_t rows = m->rows - first < GROUP_ROWS ? m->rows - first : GROUP_ROWS;
            margins_chunk p = FORMAT(margins_chunk_of)(m, first, start);
#ifdef WIDE
            FORMAT(margins_widen)(&p, rows, wide);
#endif
            size_t r = 0;
            for (; r + TILE_OUTPUTS <= m->count; r += TILE_OUTPUTS)
                FORMAT(margins_rows)(TILE_OUTPUTS, rows, &p, r);
            for (; r + 2 <= m->count; r += 2) FORMAT(margins_rows)(2, rows, &p, r);
            for (; r < m->count; r++) FORMAT(margins_rows)(1, rows, &p, r);
        }
}

#undef FORMAT
#undef DATA
#undef MODEL
#undef WIDE
#undef ROW
#undef LANES
#undef CHUNK
#undef TILE_ROWS
#undef ACC
#undef X
#undef LOAD
#undef AS_X
#undef AS_W
#undef STEP
#undef EXCESS
#undef TOTAL
#undef SCALAR
