/* Template of update.h: one integer format.
 *
 *   FORMAT(op)          adds the format to a name
 *   DATA, MODEL         types of the elements; LANE, FIXED_H: of the random lanes and of h
 *   LANES, GROUP        columns in a vector, and in a group of lanes
 *   INTERLEAVED         elements of DATA that a pair of rows has in a vector's columns
 *   PAIR                coefficients of a pair of rows as the products take them
 *   SUBTRACT            w - t, saturated
 *
 * and from update.h step_of_, interleave_ and move_<format>, which computes t. */

/* A piece of the columns: `m` of them, from `start`; the rows interleaved vector by vector, and within
 * the columns of a vector pair by pair. */
typedef struct {
    const halp_update *u;
    size_t start, m, pairs;
    const DATA *x;
} FORMAT(update_piece);

HALP_INLINE void FORMAT(interleave_rows)(const halp_update *u, size_t start, size_t m, DATA *out)
{
    const size_t rest = m % LANES, whole = m - rest;
    const size_t stride = (u->rows + 1) / 2 * INTERLEAVED;
    for (size_t b = 0; b < u->rows; b += 2, out += INTERLEAVED) {
        const DATA *x_0 = (const DATA *)u->x[b] + start;
        /* The partner of a last odd row has no weight: any row will do. */
        const DATA *x_1 = b + 1 < u->rows ? (const DATA *)u->x[b + 1] + start : x_0;
        DATA *to = out;
        for (size_t j = 0; j < whole; j += LANES, to += stride)
            FORMAT(interleave)(x_0 + j, x_1 + j, to);
        if (rest) {
            DATA tail[2][LANES] = {{0}};
            memcpy(tail[0], x_0 + whole, rest * sizeof(DATA));
            memcpy(tail[1], x_1 + whole, rest * sizeof(DATA));
            FORMAT(interleave)(tail[0], tail[1], to);
        }
    }
}

/* The first `rest` of the columns t belongs to. Where there are columns before them, these take part
 * with a step of 0; they must be of this piece, since others may be in other hands. */
HALP_INLINE void FORMAT(update_rest)(MODEL *w, size_t rest, bool alone, vi t)
{
    MODEL moved[2 * LANES] = {0};
    if (alone) {
        memcpy(moved, w, rest * sizeof *w);
        v_store(moved, SUBTRACT(v_load(moved), t));
        memcpy(w, moved, rest * sizeof *w);
        return;
    }
    v_store(moved + LANES, t);
    MODEL *last = w + rest - LANES;
    v_store(last, SUBTRACT(v_load(last), v_load(moved + rest)));
}

/* One output. */
HALP_INLINE void FORMAT(update_columns)(const size_t pairs, const FORMAT(update_piece) * p,
                                        size_t r, const int16_t *k, int e, const LANE *lanes)
{
    const halp_update *u = p->u;
    const update_step s = FORMAT(step_of)(u, k, e);
    const size_t next_rows = r == 0 ? u->next_rows : 0;
    const FIXED_H *h = (const FIXED_H *)u->h.values;
    h = h ? h + r * u->h.ld + p->start : (const FIXED_H *)(const void *)halp_no_h;
    MODEL *w = (MODEL *)u->w + r * u->ldw + p->start;
    const DATA *x = p->x;
    vi pair[MOST_PAIRS];
    for (size_t i = 0; i < pairs; i++) pair[i] = PAIR(k[2 * i], k[2 * i + 1]);

    size_t j = 0;
    for (; j + GROUP <= p->m; j += GROUP) {
        prefetch_rows(u, next_rows, (p->start + j) * sizeof(DATA));
        for (size_t i = 0; i < GROUP; i += LANES, x += pairs * INTERLEAVED) {
            const vi t = FORMAT(move)(pairs, s, pair, x, h, lanes, j + i, j + i / 2);
            v_store(w + j + i, SUBTRACT(v_load(w + j + i), t));
        }
    }
    for (; j < p->m; j += LANES, x += pairs * INTERLEAVED) {
        prefetch_rows(u, next_rows, (p->start + j) * sizeof(DATA));
        const vi t = FORMAT(move)(pairs, s, pair, x, h, lanes, j, j - j % GROUP / 2);
        if (j + LANES <= p->m)
            v_store(w + j, SUBTRACT(v_load(w + j), t));
        else
            FORMAT(update_rest)(w + j, p->m - j, j == 0, t);
    }
}

HALP_INLINE void FORMAT(update_output)(const FORMAT(update_piece) * p, size_t r, const int16_t *k,
                                       int e, const LANE *lanes)
{
    switch (p->pairs) {
    case 1:
        FORMAT(update_columns)(1, p, r, k, e, lanes);
        break;
    case 2:
        FORMAT(update_columns)(2, p, r, k, e, lanes);
        break;
    case 3:
        FORMAT(update_columns)(3, p, r, k, e, lanes);
        break;
    case 4:
        FORMAT(update_columns)(4, p, r, k, e, lanes);
        break;
    default:
        FORMAT(update_columns)(p->pairs, p, r, k, e, lanes);
    }
}

/* The columns from `first` to `last`, multiples of HALP_CHUNK or the end. */
static void FORMAT(update_range)(const halp_update *u, size_t first, size_t last)
{
    const halp_fixed fixed = FORMAT(halp_fixed)(u->h);
    const size_t block = HALP_BLOCK_BYTES / sizeof(LANE), pairs = (u->rows + 1) / 2;
    size_t columns = block,
           held = SIZE_MAX; /* columns of a piece; where the interleaved one starts */
    while (columns * 2 * pairs * sizeof(DATA) > PIECE_BYTES) columns /= 2;
    DATA x[PIECE_BYTES / sizeof(DATA)];
    int16_t k[HALP_OUTPUTS][HALP_MOST_BATCH];
    int e[HALP_OUTPUTS];

    halp_batch_begin(u->rng, fixed);
    for (size_t r_0 = 0; r_0 < u->count; r_0 += HALP_OUTPUTS) {
        const size_t some = u->count - r_0 < HALP_OUTPUTS ? u->count - r_0 : HALP_OUTPUTS;
        halp_round_coefficients(u, fixed, r_0, some, k, e);
        for (size_t r = 0; u->rows % 2 && r < some; r++) k[r][u->rows] = 0;
        for (size_t start = first; start < last; start += columns) {
            const size_t m = last - start < columns ? last - start : columns;
            if (start != held) FORMAT(interleave_rows)(u, start, m, x);
            held = start;
            const FORMAT(update_piece) piece = {u, start, m, pairs, x};
            for (size_t r = 0; r < some; r++) {
                const LANE *lanes = halp_batch_lanes(u, fixed, r_0 + r, start / block);
                FORMAT(update_output)(&piece, r_0 + r, k[r], e[r], lanes + start % block);
            }
        }
    }
    halp_batch_end(u, fixed);
}

static void HALP_NAME(FORMAT(halp_update))(const halp_update *u)
{
    FORMAT(update_range)(u, 0, u->n);
}

#undef FORMAT
#undef DATA
#undef MODEL
#undef LANE
#undef FIXED_H
#undef LANES
#undef GROUP
#undef INTERLEAVED
#undef PAIR
#undef SUBTRACT
