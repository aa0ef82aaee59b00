/* linear_path.c: the ways in which this processor multiplies by packed weights, best first. */
#include "linear_path.h"
#include "cpu.h"

#if OWM_CPU_X86
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if OWM_CPU_ARM64
#include <sys/auxv.h>
#endif

#include "linear_kernels.h"

static bool always(void)
{
    return true;
}

#if OWM_CPU_X86
static bool has_vnni256(void)
{
    const unsigned f16c = 1u << 29, vnni = 1u << 4; /* Compilers know these names, but not all. */
    unsigned a, b, c, d;
    return cpu_has_avx2() && __get_cpuid(1, &a, &b, &c, &d) && (c & f16c)
           && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & vnni);
}

static bool has_vnni512(void)
{
    return cpu_has_avx512() && __builtin_cpu_supports("avx512vnni");
}

static bool has_bf16(void)
{
    return has_vnni512() && __builtin_cpu_supports("avx512bf16");
}

/** Linux gives a process its tiles only when it asks (arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA).
 */
static bool has_amx(void)
{
#if defined(__linux__)
    const unsigned bf16 = 1u << 22, tile = 1u << 24, int8 = 1u << 25, need = bf16 | tile | int8;
    unsigned a, b, c, d;
    return has_bf16() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & need) == need
           && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
    return false;
#endif
}
#endif

#if OWM_CPU_ARM64
static bool has_dot(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}
#endif

/* Activations, panels at once. */
#define FORM(kind, set, run, at_once)                                                              \
    {                                                                                              \
        kind, linear_prepare_##set, run, at_once                                                   \
    }

static const struct linear_path paths[] = {
#if OWM_CPU_X86
    {"amx",
     "avx512",
     has_amx,
     linear_turn_avx512,
     {FORM(LINEAR_X_BF16, bf16_native, linear_bf16_amx, 8),
      FORM(LINEAR_X_Q, q_avx512, linear_q8_amx, 1), FORM(LINEAR_X_Q, q_avx512, linear_q4_amx, 1)}},
    {"avx512-bf16",
     "avx512",
     has_bf16,
     linear_turn_avx512,
     {FORM(LINEAR_X_BF16, bf16_native, linear_bf16_avx512, 2),
      FORM(LINEAR_X_Q, q_avx512, linear_q8_vnni512, 1),
      FORM(LINEAR_X_Q, q_avx512, linear_q4_vnni512, 1)}},
    {"avx512-vnni",
     "avx512",
     has_vnni512,
     linear_turn_avx512,
     {FORM(LINEAR_X_F32, f32_avx512, linear_f32_avx512, 1),
      FORM(LINEAR_X_Q, q_avx512, linear_q8_vnni512, 1),
      FORM(LINEAR_X_Q, q_avx512, linear_q4_vnni512, 1)}},
    {"avx512",
     "avx512",
     cpu_has_avx512,
     linear_turn_avx512,
     {FORM(LINEAR_X_F32, f32_avx512, linear_f32_avx512, 1),
      FORM(LINEAR_X_Q, q_avx512, linear_q8_avx512, 1),
      FORM(LINEAR_X_Q, q_avx512, linear_q4_avx512, 1)}},
    {"avx2-vnni",
     "avx2",
     has_vnni256,
     linear_turn_avx2,
     {FORM(LINEAR_X_F32, f32_avx2, linear_f32_avx2, 1),
      FORM(LINEAR_X_Q, q_avx2, linear_q8_vnni256, 1),
      FORM(LINEAR_X_Q, q_avx2, linear_q4_vnni256, 1)}},
    {"avx2",
     "avx2",
     cpu_has_avx2,
     linear_turn_avx2,
     {FORM(LINEAR_X_F32, f32_avx2, linear_f32_avx2, 1), FORM(LINEAR_X_Q, q_avx2, linear_q8_avx2, 1),
      FORM(LINEAR_X_Q, q_avx2, linear_q4_avx2, 1)}},
#endif
#if OWM_CPU_ARM64
    {"dotprod",
     "generic",
     has_dot,
     linear_turn_generic,
     {FORM(LINEAR_X_F32, f32_generic, linear_f32_generic, 1),
      FORM(LINEAR_X_Q, q_generic, linear_q8_dot, 1),
      FORM(LINEAR_X_Q, q_generic, linear_q4_dot, 1)}},
#endif
    {"generic",
     "generic",
     always,
     linear_turn_generic,
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
