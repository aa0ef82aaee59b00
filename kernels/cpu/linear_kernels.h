/* linear_kernels.h: what the files of kernels for packed weights offer to linear_path.c. The types
 * of the functions are those of struct linear_form. */
#ifndef OWM_KERNELS_CPU_LINEAR_KERNELS_H
#define OWM_KERNELS_CPU_LINEAR_KERNELS_H

#include "linear_path.h"

#define LINEAR_PREPARE(name)                                                                       \
    void linear_prepare_##name(void *, const float *, size_t, uint32_t, uint32_t, int32_t)
#define LINEAR_RUN(name) void linear_##name(const struct linear_job *, size_t, size_t)

#define LINEAR_SET(set)                                                                            \
    LINEAR_PREPARE(q_##set);                                                                       \
    LINEAR_PREPARE(bf16_##set);                                                                    \
    LINEAR_PREPARE(f32_##set);                                                                     \
    LINEAR_RUN(f32_##set);                                                                         \
    LINEAR_RUN(q8_##set);                                                                          \
    LINEAR_RUN(q4_##set)

LINEAR_SET(generic);
LINEAR_SET(avx2);
LINEAR_SET(avx512);

#endif
