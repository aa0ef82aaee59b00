/* decode.h: contracts of the ops of inference (a part of ops.h): a key/value cache in pages shared
 * by many sequences, attention over it, softmax and sampling. Shape letters as in ops.h; S
 * sequences, P pages.
 */
#ifndef OWM_KERNELS_DECODE_H
#define OWM_KERNELS_DECODE_H

#include <stdbool.h>
#include <stdint.h>

/** Tokens in a page of the cache. */
#define OWM_PAGE_TOKENS 16

/** owm_kv_cache: P pages, each the keys (and values) of 16 tokens: [P][16][G][E], device; bf16
 *  (nearest even) or f32. A slot is page * 16 + place of the token in it. */
struct owm_kv_cache {
    void *k, *v;
    uint32_t pages, kv_heads, head_dim;
    bool bf16;
};

/** kv_put: store the keys and values of R tokens.
 *
 *  k, v  [R][G*E] f32, stride `stride`; read.   slot  [R], host; each below P * 16, none twice.
 *  Returns: OWM_OK; OWM_E_ARG also for a slot outside the cache; OWM_E_DEVICE. */
struct owm_kv_put {
    struct owm_kv_cache cache;
    const float *k, *v;
    const uint32_t *slot;
    uint32_t rows, stride;
};

/** attention_paged: each of R query rows against the positions 0 .. position[r] of its sequence,
 *  scale 1/sqrt(E). Prefill (many rows of a sequence) and decode (one) may share a call.
 *
 *  out  [R][H*E]; written.   q  [R][H*E], stride `stride`.
 *  page      [S][pages_each], host: the pages of each sequence in order of its positions; of a
 *            sequence only those up to its largest position in the call are looked at.
 *  sequence  [R], host, below S.   position  [R], host, below pages_each * 16.
 *  Limits: E <= OWM_ATTENTION_DIM_MAX, R <= OWM_PAGED_ROWS_MAX.
 *  Returns: OWM_OK; OWM_E_ARG also for a page, sequence or position out of range; OWM_E_LIMIT. */
struct owm_attention_paged {
    float *out;
    const float *q;
    struct owm_kv_cache cache;
    const uint32_t *page, *sequence, *position;
    uint32_t rows, stride, heads, sequences, pages_each;
};
#define OWM_PAGED_ROWS_MAX 65536

/** softmax: out[r] = softmax(x[r] * scale). out may be x. out, x  [R][C].
 *  Returns: OWM_OK; OWM_E_ARG also for a scale that is not finite; OWM_E_DEVICE. */
struct owm_softmax {
    float *out;
    const float *x;
    uint32_t rows, cols;
    float scale;
};

/** sample: choose one token per row.
 *
 *  token    [R], host; written.   logits  [R][V], device, finite.   uniform  [R], host, in [0, 1).
 *  temperature 0: the largest logit, ties to the lowest token. Else, with the tokens in order of
 *  falling logits (ties: lower token first) and p = softmax(logits / temperature): the first top_k
 *  of them (0: all), of those the shortest prefix whose share of their mass is >= top_p, and of
 *  those the first whose running sum exceeds uniform times the prefix's mass (the last, if rounding
 *  leaves none). Synchronous.
 *  Limit: V <= OWM_SAMPLE_VOCAB_MAX.
 *  Exact: the token of the reference, unless `uniform` or top_p is within 1e-5 of a border.
 *  Returns: OWM_OK; OWM_E_ARG also for temperature < 0 or not finite, top_p outside (0, 1], a
 *           uniform outside [0, 1); OWM_E_LIMIT; OWM_E_DEVICE. */
struct owm_sample {
    uint32_t *token;
    const float *logits, *uniform;
    uint32_t rows, vocab, top_k;
    float temperature, top_p;
};
#define OWM_SAMPLE_VOCAB_MAX 524288

#endif
