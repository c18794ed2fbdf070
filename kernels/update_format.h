/* Template of update.h: one integer format.
 *
 *   FORMAT(op)          adds the format to a name
 *   DATA, MODEL         types of the elements; LANE, FIXED_H: of the random lanes and of h
 *   LANES, GROUP        columns in a vector, and in a group of lanes
 *   INTERLEAVE          the pair of vectors of data from two rows
 *   PAIR                coefficients of a pair of rows as the products take them
 *
 * and from update.h step_of_, move_<format>, which computes t, and subtract_<format>, w - t saturated. */

/* A piece of the columns: `m` of them, from `start`. */
typedef struct {
    const halp_update *u;
    size_t start, m, pairs;
    const DATA *interleaved; /* vector by vector and within a vector pair by pair; or NULL */
    const void *rows[HALP_MOST_BATCH]; /* at column `start` */
} FORMAT(update_piece);

/* The partner of a last odd row has no weight: any row will do. */
HALP_INLINE void FORMAT(set_rows)(FORMAT(update_piece) * p)
{
    for (size_t b = 0; b < 2 * p->pairs; b++)
        p->rows[b] = (const DATA *)p->u->x[b < p->u->rows ? b : 0] + p->start;
}

HALP_INLINE void FORMAT(interleave_vectors)(const DATA *x_0, const DATA *x_1, DATA *out)
{
    const two_vi pair = INTERLEAVE(x_0, x_1);
    v_store(out, pair.low);
    v_store(out + LANES, pair.high);
}

/* The columns from j on, fewer than a vector. All rows are copied before the first is read again, so that
 * no load waits for a store. */
HALP_INLINE void FORMAT(interleave_rest)(const FORMAT(update_piece) * p, size_t j, DATA *out)
{
    DATA rest[HALP_MOST_BATCH][LANES];
    for (size_t b = 0; b < 2 * p->pairs; b++) {
        memset(rest[b], 0, sizeof rest[b]);
        memcpy(rest[b], (const DATA *)p->rows[b] + j, (p->m - j) * sizeof(DATA));
    }
    for (size_t i = 0; i < p->pairs; i++, out += 2 * LANES)
        FORMAT(interleave_vectors)(rest[2 * i], rest[2 * i + 1], out);
}

HALP_INLINE void FORMAT(interleave_rows)(const FORMAT(update_piece) * p, DATA *out)
{
    const size_t whole = p->m - p->m % LANES, stride = 2 * p->pairs * LANES;
    for (size_t i = 0; i < p->pairs; i++) {
        const DATA *x_0 = p->rows[2 * i], *x_1 = p->rows[2 * i + 1];
        DATA *to = out + 2 * i * LANES;
        for (size_t j = 0; j < whole; j += LANES, to += stride)
            FORMAT(interleave_vectors)(x_0 + j, x_1 + j, to);
    }
    if (whole < p->m) FORMAT(interleave_rest)(p, whole, out + whole / LANES * stride);
}

/* The first `rest` of the columns t belongs to. Where there are columns before them, these take part
 * with a step of 0; they must be of this piece, since others may be in other hands. */
HALP_INLINE void FORMAT(update_rest)(MODEL *w, size_t rest, bool alone, two_vi t)
{
    const size_t half = VBYTES / sizeof(MODEL); /* columns in t.low */
    MODEL moved[2 * LANES] = {0};
    if (alone) {
        memcpy(moved, w, rest * sizeof *w);
        FORMAT(subtract)(moved, t);
        memcpy(w, moved, rest * sizeof *w);
        return;
    }
    v_store(moved + LANES, t.low);
    if (half < LANES) v_store(moved + LANES + half, t.high);
    t.low = v_load(moved + rest);
    if (half < LANES) t.high = v_load(moved + rest + half);
    FORMAT(subtract)(w + rest - LANES, t);
}

/* One output. */
HALP_INLINE void FORMAT(update_columns)(const size_t pairs, const bool is_interleaved,
                                        const FORMAT(update_piece) * p, size_t r, const int16_t *k,
                                        int e, const LANE *lanes)
{
    const halp_update *u = p->u;
    const update_step s = FORMAT(step_of)(u, k, e);
    const size_t next_rows = r == 0 ? u->next_rows : 0;
    const FIXED_H *h = (const FIXED_H *)u->h.values;
    h = h ? h + r * u->h.ld + p->start : (const FIXED_H *)(const void *)halp_no_h;
    MODEL *w = (MODEL *)u->w + r * u->ldw + p->start;
    const DATA *vector = p->interleaved;
    vi pair[MOST_PAIRS];
    for (size_t i = 0; i < pairs; i++) pair[i] = PAIR(k[2 * i], k[2 * i + 1]);

    size_t j = 0;
    for (; j + GROUP <= p->m; j += GROUP) {
        prefetch_rows(u->next, next_rows, (p->start + j) * sizeof(DATA));
        for (size_t i = 0; i < GROUP; i += LANES, vector += 2 * pairs * LANES) {
            const update_source x = {is_interleaved, vector, p->rows};
            FORMAT(subtract)
            (w + j + i, FORMAT(move)(pairs, s, pair, x, h, lanes, j + i, j + i / 2));
        }
    }
    for (; j < p->m; j += LANES, vector += 2 * pairs * LANES) {
        prefetch_rows(u->next, next_rows, (p->start + j) * sizeof(DATA));
        const update_source x = {is_interleaved, vector, p->rows};
        const two_vi t = FORMAT(move)(pairs, s, pair, x, h, lanes, j, j - j % GROUP / 2);
        if (j + LANES <= p->m)
            FORMAT(subtract)(w + j, t);
        else
            FORMAT(update_rest)(w + j, p->m - j, j == 0, t);
    }
}

HALP_INLINE void FORMAT(update_output)(const bool is_interleaved, const FORMAT(update_piece) * p,
                                       size_t r, const int16_t *k, int e, const LANE *lanes)
{
    switch (p->pairs) {
    case 1:
        FORMAT(update_columns)(1, is_interleaved, p, r, k, e, lanes);
        break;
    case 2:
        FORMAT(update_columns)(2, is_interleaved, p, r, k, e, lanes);
        break;
    case 3:
        FORMAT(update_columns)(3, is_interleaved, p, r, k, e, lanes);
        break;
    case 4:
        FORMAT(update_columns)(4, is_interleaved, p, r, k, e, lanes);
        break;
    default:
        FORMAT(update_columns)(p->pairs, is_interleaved, p, r, k, e, lanes);
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
        FORMAT(update_piece) piece;
        piece.u = u;
        piece.pairs = pairs;
        for (size_t start = first; start < last; start += piece.m) {
            piece.start = start;
            piece.m = last - start < columns ? last - start : columns;
            /* A single output uses each pair once. */
            const bool is_interleaved = u->count > 1 || piece.m < GROUP;
            if (!is_interleaved) piece.m -= piece.m % GROUP;
            FORMAT(set_rows)(&piece);
            if (is_interleaved && start != held) FORMAT(interleave_rows)(&piece, x);
            held = start;
            piece.interleaved = is_interleaved ? x : NULL;
            for (size_t r = 0; r < some; r++) {
                const LANE *lanes =
                    (const LANE *)halp_batch_lanes(u, fixed, r_0 + r, start / block) +
                    start % block;
                if (is_interleaved)
                    FORMAT(update_output)(true, &piece, r_0 + r, k[r], e[r], lanes);
                else
                    FORMAT(update_output)(false, &piece, r_0 + r, k[r], e[r], lanes);
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
#undef INTERLEAVE
#undef PAIR
