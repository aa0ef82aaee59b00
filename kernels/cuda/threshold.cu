/* threshold.cu: all coordinates whose magnitude is at least a bound. */
#include <string.h>

#include "kernels/cuda/collect.cuh"
#include "kernels/cuda/ops_cuda.h"

extern "C" owm_status gpu_threshold(struct owm_device *device, const struct owm_threshold *op)
{
    owm_status status = owm_check_threshold(op);
    if (status) return status;
    collect_state state = {}, *shared;
    memcpy(&state.threshold, &op->bound, sizeof state.threshold);
    state.ties = UINT32_MAX;
    uint64_t tiles = collect_tiles(op->n);
    size_t words = gpu_lookback_bytes(tiles);
    uint8_t *scratch = (uint8_t *)gpu_scratch(device, words);
    if (!scratch) return OWM_E_LIMIT;
    status = gpu_stage(device, &state, sizeof state, (void **)&shared);
    if (status) return status;
    status = gpu_status(cudaMemsetAsync(scratch, 0, words, gpu_stream(device)));
    if (status) return status;
    OWM_LAUNCH(collect, (unsigned)tiles, COLLECT_THREADS, 0, gpu_stream(device), op->index,
               op->index_max, op->x, op->n, gpu_wide(op->x, 0), shared,
               gpu_lookback_at(scratch, tiles));
    status = gpu_launched();
    if (status == OWM_OK) status = gpu_fetch(device, &state, shared, sizeof state);
    if (status) return status;
    *op->count = (uint32_t)state.count;
    return state.count > op->index_max ? OWM_E_LIMIT : OWM_OK;
}
