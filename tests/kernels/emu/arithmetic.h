/* arithmetic.h: CUDA's arithmetic functions, to the bit where CUDA says which bits. Those that are
 * approximate there (__expf, rsqrtf) are as exact here as the C library. */
#ifndef OWM_TESTS_KERNELS_EMU_ARITHMETIC_H
#define OWM_TESTS_KERNELS_EMU_ARITHMETIC_H

#define EMU_PURE static inline __attribute__((const, no_sanitize("thread")))

#define EMU_CAST(name, to, from)                                                                   \
    EMU_PURE to name(from x)                                                                       \
    {                                                                                              \
        to y;                                                                                      \
        static_assert(sizeof x == sizeof y, "the same bits");                                      \
        __builtin_memcpy(&y, &x, sizeof y);                                                        \
        return y;                                                                                  \
    }
EMU_CAST(__float_as_uint, unsigned, float)
EMU_CAST(__float_as_int, int, float)
EMU_CAST(__uint_as_float, float, unsigned)
EMU_CAST(__int_as_float, float, int)
EMU_CAST(__double_as_longlong, long long, double)
EMU_CAST(__longlong_as_double, double, long long)

/* min, max: as CUDA has them, for every pair of arithmetic types. */
#define EMU_MIN_MAX(type)                                                                          \
    EMU_PURE type min(type a, type b)                                                              \
    {                                                                                              \
        return a < b ? a : b;                                                                      \
    }                                                                                              \
    EMU_PURE type max(type a, type b)                                                              \
    {                                                                                              \
        return a > b ? a : b;                                                                      \
    }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)

#define EMU_FLOAT_MIN_MAX(type)                                                                    \
    EMU_PURE type min(type a, type b)                                                              \
    {                                                                                              \
        return std::fmin(a, b);                                                                    \
    }                                                                                              \
    EMU_PURE type max(type a, type b)                                                              \
    {                                                                                              \
        return std::fmax(a, b);                                                                    \
    }
EMU_FLOAT_MIN_MAX(float)
EMU_FLOAT_MIN_MAX(double)

/* Bits. */
EMU_PURE int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

EMU_PURE int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}

EMU_PURE int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}

EMU_PURE int __clzll(long long x)
{
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}

EMU_PURE int __ffs(int x)
{
    return __builtin_ffs(x);
}

EMU_PURE int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}

EMU_PURE unsigned __brev(unsigned x)
{
    unsigned y = 0;
    for (int bit = 0; bit < 32; bit++) y |= (x >> bit & 1) << (31 - bit);
    return y;
}

EMU_PURE unsigned long long __brevll(unsigned long long x)
{
    return (unsigned long long)__brev((unsigned)x) << 32 | __brev((unsigned)(x >> 32));
}

EMU_PURE unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)((((unsigned long long)high << 32 | low) << (shift & 31)) >> 32);
}

EMU_PURE unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((unsigned long long)high << 32 | low) >> (shift & 31));
}

/* Four bytes of eight, each chosen by a digit; a digit's top bit spreads the byte's sign. */
EMU_PURE unsigned __byte_perm(unsigned a, unsigned b, unsigned digits)
{
    unsigned long long both = (unsigned long long)b << 32 | a;
    unsigned y = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = digits >> 4 * i & 15;
        unsigned byte = (unsigned)(both >> 8 * (digit & 7)) & 255;
        if (digit & 8) byte = byte & 128 ? 255 : 0;
        y |= byte << 8 * i;
    }
    return y;
}

/* Integers. */
EMU_PURE unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((unsigned long long)a * b >> 32);
}

EMU_PURE int __mulhi(int a, int b)
{
    return (int)((long long)a * b >> 32);
}

EMU_PURE unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

EMU_PURE long long __mul64hi(long long a, long long b)
{
    return (long long)((__int128)a * b >> 64);
}

EMU_PURE int __dp4a(int a, int b, int sum)
{
    for (int i = 0; i < 4; i++)
        sum = (int)((unsigned)sum
                    + (unsigned)((signed char)(a >> 8 * i) * (signed char)(b >> 8 * i)));
    return sum;
}

EMU_PURE unsigned __dp4a(unsigned a, unsigned b, unsigned sum)
{
    for (int i = 0; i < 4; i++) sum += (a >> 8 * i & 255) * (b >> 8 * i & 255);
    return sum;
}

/* Rounding is to nearest, ties to even, everywhere here, so _rn is what the operators do: the
 * sources are compiled without contraction. */
#define EMU_ROUNDED(name, type, expression)                                                        \
    EMU_PURE type name(type a, type b)                                                             \
    {                                                                                              \
        return expression;                                                                         \
    }
EMU_ROUNDED(__fadd_rn, float, a + b)
EMU_ROUNDED(__fsub_rn, float, a - b)
EMU_ROUNDED(__fmul_rn, float, a *b)
EMU_ROUNDED(__fdiv_rn, float, a / b)
EMU_ROUNDED(__dadd_rn, double, a + b)
EMU_ROUNDED(__dsub_rn, double, a - b)
EMU_ROUNDED(__dmul_rn, double, a *b)
EMU_ROUNDED(__ddiv_rn, double, a / b)
EMU_ROUNDED(__fdividef, float, a / b)

EMU_PURE float __fmaf_rn(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}

EMU_PURE double __fma_rn(double a, double b, double c)
{
    return __builtin_fma(a, b, c);
}

#define EMU_OF_ONE(name, type, expression)                                                         \
    EMU_PURE type name(type x)                                                                     \
    {                                                                                              \
        return expression;                                                                         \
    }
EMU_OF_ONE(__fsqrt_rn, float, __builtin_sqrtf(x))
EMU_OF_ONE(__dsqrt_rn, double, __builtin_sqrt(x))
EMU_OF_ONE(__frcp_rn, float, 1.0f / x)
EMU_OF_ONE(__drcp_rn, double, 1.0 / x)
EMU_OF_ONE(__frsqrt_rn, float, (float)(1.0 / __builtin_sqrt((double)x)))
EMU_OF_ONE(rsqrtf, float, (float)(1.0 / __builtin_sqrt((double)x)))
EMU_OF_ONE(rsqrt, double, 1.0 / __builtin_sqrt(x))
/* The C library has these names for itself, so kernels get others. */
#define __expf   emu_expf
#define __exp10f emu_exp10f
#define __logf   emu_logf
#define __log2f  emu_log2f
#define __sinf   emu_sinf
#define __cosf   emu_cosf
EMU_OF_ONE(__expf, float, __builtin_expf(x))
EMU_OF_ONE(__exp10f, float, __builtin_powf(10.0f, x))
EMU_OF_ONE(__logf, float, __builtin_logf(x))
EMU_OF_ONE(__log2f, float, __builtin_log2f(x))
EMU_OF_ONE(__sinf, float, __builtin_sinf(x))
EMU_OF_ONE(__cosf, float, __builtin_cosf(x))
EMU_OF_ONE(__saturatef, float, x > 0 ? (x < 1 ? x : 1.0f) : 0.0f)

/* Conversions saturate, and NaN becomes 0. */
template <typename To, typename From>
static inline __attribute__((const, no_sanitize("thread"))) To emu_convert(From x)
{
    constexpr To lowest = std::is_signed_v<To> ? (To)((To)1 << (sizeof(To) * 8 - 1)) : 0;
    constexpr To highest = (To)~lowest;
    if (x != x) return 0;
    if (x <= (From)lowest) return lowest;
    return x >= (From)highest ? highest : (To)x;
}

#define EMU_CONVERSIONS(name, to, from)                                                            \
    EMU_PURE to name##_rn(from x)                                                                  \
    {                                                                                              \
        return emu_convert<to>(std::rint(x));                                                      \
    }                                                                                              \
    EMU_PURE to name##_rz(from x)                                                                  \
    {                                                                                              \
        return emu_convert<to>(std::trunc(x));                                                     \
    }                                                                                              \
    EMU_PURE to name##_rd(from x)                                                                  \
    {                                                                                              \
        return emu_convert<to>(std::floor(x));                                                     \
    }                                                                                              \
    EMU_PURE to name##_ru(from x)                                                                  \
    {                                                                                              \
        return emu_convert<to>(std::ceil(x));                                                      \
    }
EMU_CONVERSIONS(__float2int, int, float)
EMU_CONVERSIONS(__float2uint, unsigned, float)
EMU_CONVERSIONS(__float2ll, long long, float)
EMU_CONVERSIONS(__float2ull, unsigned long long, float)
EMU_CONVERSIONS(__double2int, int, double)
EMU_CONVERSIONS(__double2uint, unsigned, double)
EMU_CONVERSIONS(__double2ll, long long, double)
EMU_CONVERSIONS(__double2ull, unsigned long long, double)

#define EMU_TO_REAL(name, to, from)                                                                \
    EMU_PURE to name(from x)                                                                       \
    {                                                                                              \
        return (to)x;                                                                              \
    }
EMU_TO_REAL(__int2float_rn, float, int)
EMU_TO_REAL(__uint2float_rn, float, unsigned)
EMU_TO_REAL(__ll2float_rn, float, long long)
EMU_TO_REAL(__ull2float_rn, float, unsigned long long)
EMU_TO_REAL(__int2double_rn, double, int)
EMU_TO_REAL(__uint2double_rn, double, unsigned)
EMU_TO_REAL(__ll2double_rn, double, long long)
EMU_TO_REAL(__ull2double_rn, double, unsigned long long)
EMU_TO_REAL(__double2float_rn, float, double)

/* Loads and stores with a hint for the caches are loads and stores. */
#define EMU_LOAD(name)                                                                             \
    template <typename T> static inline T name(const T *mem)                                       \
    {                                                                                              \
        return *mem;                                                                               \
    }
EMU_LOAD(__ldg)
EMU_LOAD(__ldca)
EMU_LOAD(__ldcg)
EMU_LOAD(__ldcs)
EMU_LOAD(__ldlu)

#define EMU_STORE(name)                                                                            \
    template <typename T> static inline void name(T *mem, T value)                                 \
    {                                                                                              \
        *mem = value;                                                                              \
    }
EMU_STORE(__stwb)
EMU_STORE(__stcg)
EMU_STORE(__stcs)

#endif
