/* check.c: the argument checks of every op. Strides, sizes and host indices; memory is trusted. */
#include "check.h"

#include <math.h>

#include <math.h>

static owm_status ok_if(bool good)
{
    return good ? OWM_OK : OWM_E_ARG;
}

static bool tokens_below(const uint16_t *tokens, uint32_t rows, uint32_t vocab)
{
    for (uint32_t r = 0; r < rows; r++)
        if (tokens[r] >= vocab) return false;
    return true;
}

owm_status owm_check_gemm(const struct owm_gemm *g)
{
    return ok_if(g->c && g->a && g->b && g->m && g->n && g->k && g->ldc >= g->n
                 && g->lda >= (g->trans_a ? g->m : g->k) && g->ldb >= (g->trans_b ? g->k : g->n));
}

size_t owm_source_row_bytes(enum owm_format format, uint32_t cols)
{
    if (!cols || cols > OWM_LINEAR_COLS_MAX) return 0;
    if (format == OWM_FORMAT_BF16) return (size_t)cols * 2;
    if (cols % OWM_BLOCK_WEIGHTS) return 0;
    size_t blocks = cols / OWM_BLOCK_WEIGHTS;
    if (format == OWM_FORMAT_Q8_0) return blocks * OWM_BLOCK_BYTES_Q8_0;
    return format == OWM_FORMAT_Q4_0 ? blocks * OWM_BLOCK_BYTES_Q4_0 : 0;
}

owm_status owm_check_pack(const struct owm_pack *a)
{
    return ok_if(a->packed && a->source && a->rows && owm_source_row_bytes(a->format, a->cols));
}

owm_status owm_check_linear(const struct owm_linear *a)
{
    return ok_if(a->y && a->x && a->weights && a->m && a->n && a->ldy >= a->n && a->ldx >= a->k
                 && owm_source_row_bytes(a->format, a->k));
}

owm_status owm_check_linear_bwd(const struct owm_linear_bwd *a)
{
    return ok_if(a->dx && a->dy && a->weights && a->m && a->n && a->lddx >= a->k && a->lddy >= a->n
                 && owm_source_row_bytes(a->format, a->k));
}

owm_status owm_check_rmsnorm(const struct owm_rmsnorm *a)
{
    return ok_if(a->out && a->x && a->weight && a->rows && a->cols && a->eps >= 0);
}

owm_status owm_check_rmsnorm_bwd(const struct owm_rmsnorm_bwd *a)
{
    if (a->cols > OWM_NORM_COLS_MAX) return OWM_E_LIMIT;
    return ok_if(a->dx && a->dweight && a->dout && a->x && a->weight && a->rows && a->cols
                 && a->eps >= 0 && a->dx != a->dout);
}

owm_status owm_check_rope(const struct owm_rope *a)
{
    bool good = a->x && a->cos_sin && a->rows && a->heads && a->head_dim && a->head_dim % 2 == 0
                && a->stride >= (uint64_t)a->heads * a->head_dim && a->period;
    if (!good) return OWM_E_ARG;
    return (uint64_t)a->first + a->period <= a->positions ? OWM_OK : OWM_E_LIMIT;
}

owm_status owm_check_swiglu(const struct owm_swiglu *a)
{
    return ok_if(a->out && a->gate_up && a->rows && a->cols);
}

owm_status owm_check_swiglu_bwd(const struct owm_swiglu_bwd *a)
{
    return ok_if(a->dgate_up && a->dout && a->gate_up && a->rows && a->cols);
}

static owm_status check_heads(uint32_t time, uint32_t heads, uint32_t kv_heads, uint32_t head_dim)
{
    if (!time || !heads || !kv_heads || heads % kv_heads || !head_dim) return OWM_E_ARG;
    return time <= OWM_ATTENTION_TIME_MAX && head_dim <= OWM_ATTENTION_DIM_MAX ? OWM_OK
                                                                               : OWM_E_LIMIT;
}

owm_status owm_check_attention(const struct owm_attention *a)
{
    if (!a->out || !a->lse || !a->qkv || !a->batch) return OWM_E_ARG;
    return check_heads(a->time, a->heads, a->kv_heads, a->head_dim);
}

owm_status owm_check_attention_bwd(const struct owm_attention_bwd *a)
{
    if (!a->dqkv || !a->dout || !a->out || !a->lse || !a->qkv || !a->batch) return OWM_E_ARG;
    return check_heads(a->time, a->heads, a->kv_heads, a->head_dim);
}

owm_status owm_check_attention_decode(const struct owm_attention_decode *a)
{
    if (!a->out || !a->q || !a->k_cache || !a->v_cache) return OWM_E_ARG;
    return check_heads(a->length, a->heads, a->kv_heads, a->head_dim);
}

owm_status owm_check_embedding(const struct owm_embedding *a)
{
    return ok_if(a->out && a->table && a->tokens && a->rows && a->cols
                 && tokens_below(a->tokens, a->rows, a->vocab));
}

owm_status owm_check_embedding_bwd(const struct owm_embedding_bwd *a)
{
    return ok_if(a->dtable && a->dout && a->tokens && a->rows && a->cols
                 && tokens_below(a->tokens, a->rows, a->vocab));
}

owm_status owm_check_cross_entropy(const struct owm_cross_entropy *a)
{
    return ok_if(a->losses && a->logits && a->targets && a->rows
                 && tokens_below(a->targets, a->rows, a->vocab));
}

owm_status owm_check_adamw(const struct owm_adamw *a)
{
    return ok_if(a->params && a->m && a->v && a->grad && a->count && a->step);
}

owm_status owm_check_topk(const struct owm_topk *a)
{
    return ok_if(a->x && a->index && a->count && a->n && a->k && a->k <= a->n);
}

owm_status owm_check_threshold(const struct owm_threshold *a)
{
    return ok_if(a->x && a->count && a->n && a->bound > 0 && (a->index || a->index_max == 0));
}

static bool known_quant(enum owm_quant quant)
{
    return quant == OWM_QUANT_I8 || quant == OWM_QUANT_BF16;
}

owm_status owm_check_feedback(const struct owm_feedback_step *a)
{
    return ok_if(a->residual && a->gradient && a->residual != a->gradient && a->index && a->value
                 && a->code && a->count && a->floor_exponent && a->n && a->k && a->k <= a->n
                 && isfinite(a->decay) && known_quant(a->quant)
                 && (a->exponent || a->quant == OWM_QUANT_BF16));
}

owm_status owm_check_quantise(const struct owm_quantise *a)
{
    return ok_if(a->value && a->index && a->code && a->n && a->count && a->count <= a->n
                 && a->floor_exponent <= OWM_QUANT_EXPONENT_MAX && known_quant(a->quant)
                 && (a->exponent || a->quant == OWM_QUANT_BF16));
}

static bool has_arrays(const struct owm_sparse *package)
{
    return (package->index && package->value) || package->count == 0;
}

static bool all_have_arrays(const struct owm_sparse *package, uint32_t count)
{
    for (uint32_t p = 0; p < count; p++)
        if (!has_arrays(&package[p])) return false;
    return true;
}

owm_status owm_check_scatter_add(const struct owm_scatter_add *a)
{
    return ok_if(a->x && a->n && isfinite(a->alpha) && a->package && has_arrays(a->package)
                 && a->package->count <= a->n);
}

owm_status owm_check_sparse_sum(const struct owm_sparse_sum *a)
{
    if (!a->out || !a->package || !a->alpha || a->first >= a->last) return OWM_E_ARG;
    if (a->count > OWM_SPARSE_PACKAGES_MAX) return OWM_E_ARG;
    for (uint32_t p = 0; p < a->count; p++)
        if (!isfinite(a->alpha[p])) return OWM_E_ARG;
    return ok_if(all_have_arrays(a->package, a->count));
}

owm_status owm_check_sparse_gram(const struct owm_sparse_gram *a)
{
    return ok_if(a->gram && a->package && a->count && a->count <= OWM_SPARSE_PACKAGES_MAX
                 && all_have_arrays(a->package, a->count));
}

owm_status owm_check_apply_update(const struct owm_apply_update *a)
{
    return ok_if(a->w && a->u && a->n && isfinite(a->lr) && isfinite(a->momentum));
}

static bool vectors_given(const float *const *x, uint32_t count)
{
    if (!x || !count || count > OWM_AGG_VECTORS_MAX) return false;
    for (uint32_t p = 0; p < count; p++)
        if (!x[p]) return false;
    return true;
}

owm_status owm_check_weighted_sum(const struct owm_weighted_sum *a)
{
    if (!a->out || !a->alpha || !a->n || !vectors_given(a->x, a->count)) return OWM_E_ARG;
    for (uint32_t p = 0; p < a->count; p++)
        if (!isfinite(a->alpha[p])) return OWM_E_ARG;
    return OWM_OK;
}

owm_status owm_check_trimmed_mean(const struct owm_trimmed_mean *a)
{
    bool good = a->out && a->n && vectors_given(a->x, a->count) && (uint64_t)2 * a->trim < a->count;
    for (uint32_t p = 0; good && p < a->count; p++) good = a->x[p] != a->out;
    return ok_if(good);
}

owm_status owm_check_gram(const struct owm_gram *a)
{
    return ok_if(a->gram && a->n && vectors_given(a->x, a->count));
}

owm_status owm_check_clip(const struct owm_clip *a)
{
    return ok_if(a->x && a->norm && a->n && a->max_norm > 0);
}

static bool good_cache(const struct owm_kv_cache *c)
{
    return c->k && c->v && c->pages && c->kv_heads && c->head_dim;
}

owm_status owm_check_kv_put(const struct owm_kv_put *a)
{
    bool good = good_cache(&a->cache) && a->k && a->v && a->slot && a->rows
                && a->stride >= (uint64_t)a->cache.kv_heads * a->cache.head_dim;
    for (uint32_t r = 0; good && r < a->rows; r++)
        good = a->slot[r] / OWM_PAGE_TOKENS < a->cache.pages;
    return ok_if(good);
}

/* Rows of one sequence mostly follow each other: what one has looked at, the next does not. */
static bool good_rows(const struct owm_attention_paged *a)
{
    uint32_t checked = 0;
    for (uint32_t r = 0; r < a->rows; r++) {
        uint32_t sequence = a->sequence[r], last = a->position[r] / OWM_PAGE_TOKENS;
        if (sequence >= a->sequences || last >= a->pages_each) return false;
        if (r == 0 || sequence != a->sequence[r - 1]) checked = 0;
        const uint32_t *page = a->page + (size_t)sequence * a->pages_each;
        for (; checked <= last; checked++)
            if (page[checked] >= a->cache.pages) return false;
    }
    return true;
}

owm_status owm_check_attention_paged(const struct owm_attention_paged *a)
{
    uint32_t kv_heads = a->cache.kv_heads, head_dim = a->cache.head_dim;
    bool good = good_cache(&a->cache) && a->out && a->q && a->page && a->sequence && a->position
                && a->rows && a->heads && a->heads % kv_heads == 0 && a->sequences && a->pages_each
                && a->stride >= (uint64_t)a->heads * head_dim;
    if (!good) return OWM_E_ARG;
    if (head_dim > OWM_ATTENTION_DIM_MAX || a->rows > OWM_PAGED_ROWS_MAX) return OWM_E_LIMIT;
    return ok_if(good_rows(a));
}

owm_status owm_check_softmax(const struct owm_softmax *a)
{
    return ok_if(a->out && a->x && a->rows && a->cols && isfinite(a->scale));
}

owm_status owm_check_sample(const struct owm_sample *a)
{
    bool good = a->token && a->logits && a->uniform && a->rows && a->vocab
                && isfinite(a->temperature) && a->temperature >= 0 && a->top_p > 0 && a->top_p <= 1;
    for (uint32_t r = 0; good && r < a->rows; r++) good = a->uniform[r] >= 0 && a->uniform[r] < 1;
    if (!good) return OWM_E_ARG;
    return a->vocab <= OWM_SAMPLE_VOCAB_MAX ? OWM_OK : OWM_E_LIMIT;
}

owm_status owm_check_sha256d_scan(const struct owm_sha256d_scan *a)
{
    return ok_if(a->hit && a->hit_max && a->found && a->midstate && a->midstates
                 && a->midstates <= OWM_SHA256D_MIDSTATES_MAX && a->tail && a->target && a->count
                 && a->count <= OWM_SHA256D_NONCES);
}

owm_status owm_check_sha256d_batch(const struct owm_sha256d_batch *a)
{
    return ok_if(a->hash && a->message && a->count && a->bytes && a->stride >= a->bytes);
}

owm_status owm_check_sha256d_merkle(const struct owm_sha256d_merkle *a)
{
    bool good = a->root && a->coinbase && (a->branch || !a->branches) && a->count && a->bytes
                && a->stride >= a->bytes;
    if (!good) return OWM_E_ARG;
    return a->bytes <= OWM_MERKLE_COINBASE_BYTES_MAX && a->branches <= OWM_MERKLE_BRANCHES_MAX
               ? OWM_OK
               : OWM_E_LIMIT;
}

owm_status owm_check_sha256(const struct owm_sha256 *a)
{
    if (!a->hash || (!a->message && a->bytes)) return OWM_E_ARG;
    return a->bytes <= OWM_SHA256_MESSAGE_MAX ? OWM_OK : OWM_E_LIMIT;
}
