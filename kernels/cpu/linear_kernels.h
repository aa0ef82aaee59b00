/* linear_kernels.h: what the files of kernels for packed weights offer to linear_path.c. The types
 * of the functions are those of struct linear_form. */
#ifndef OWM_KERNELS_CPU_LINEAR_KERNELS_H
#define OWM_KERNELS_CPU_LINEAR_KERNELS_H

#include "linear_path.h"

#define LINEAR_PREPARE(name)                                                                       \
    void linear_prepare_##name(void *, const float *, size_t, uint32_t, uint32_t, int32_t)
#define LINEAR_RUN(name) void linear_##name(const struct linear_job *, size_t, size_t)

#define LINEAR_TURN(set) void linear_turn_##set(void *, const struct linear_turn *)

#define LINEAR_SET(set)                                                                            \
    LINEAR_PREPARE(q_##set);                                                                       \
    LINEAR_PREPARE(f32_##set);                                                                     \
    LINEAR_TURN(set);                                                                              \
    LINEAR_RUN(f32_##set);                                                                         \
    LINEAR_RUN(q8_##set);                                                                          \
    LINEAR_RUN(q4_##set)

LINEAR_SET(generic);
LINEAR_SET(avx2);
LINEAR_SET(avx512);

/* Files of one instruction each. */
LINEAR_RUN(q8_vnni256);
LINEAR_RUN(q4_vnni256);
LINEAR_RUN(q8_dot);
LINEAR_RUN(q4_dot);
LINEAR_RUN(q8_vnni512);
LINEAR_RUN(q4_vnni512);
LINEAR_PREPARE(bf16_native);
LINEAR_RUN(bf16_avx512);
LINEAR_RUN(bf16_amx);
LINEAR_RUN(q8_amx);
LINEAR_RUN(q4_amx);

#define LINEAR_AMX_ROWS 4 /* From here a tile of BF16 that is not full beats vdpbf16ps. */

#endif
