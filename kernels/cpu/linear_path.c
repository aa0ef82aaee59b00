/* linear_path.c: the ways in which this processor multiplies by packed weights, best first. */
#include "linear_path.h"

#include "linear_kernels.h"

static bool always(void)
{
    return true;
}

#if OWM_CPU_X86
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

/* Activations, panels at once. */
#define FORM(kind, set, run, at_once)                                                              \
    {                                                                                              \
        kind, linear_prepare_##set, run, at_once                                                   \
    }

static const struct linear_path paths[] = {
#if OWM_CPU_X86
    {"avx512",
     "avx512",
     has_avx512,
     {FORM(LINEAR_X_F32, f32_avx512, linear_f32_avx512, 1),
      FORM(LINEAR_X_Q, q_avx512, linear_q8_avx512, 1),
      FORM(LINEAR_X_Q, q_avx512, linear_q4_avx512, 1)}},
    {"avx2",
     "avx2",
     has_avx2,
     {FORM(LINEAR_X_F32, f32_avx2, linear_f32_avx2, 1), FORM(LINEAR_X_Q, q_avx2, linear_q8_avx2, 1),
      FORM(LINEAR_X_Q, q_avx2, linear_q4_avx2, 1)}},
#endif
    {"generic",
     "generic",
     always,
     {FORM(LINEAR_X_F32, f32_generic, linear_f32_generic, 1),
      FORM(LINEAR_X_Q, q_generic, linear_q8_generic, 1),
      FORM(LINEAR_X_Q, q_generic, linear_q4_generic, 1)}},
};

const struct linear_path *linear_path_at(size_t index)
{
    return index < sizeof paths / sizeof *paths ? &paths[index] : NULL;
}

const struct linear_path *linear_path_best(const char *isa)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if ((!isa || !strcmp(isa, paths[i].isa)) && paths[i].here()) return &paths[i];
    return NULL;
}
