/* vectors.h: CUDA's short vectors, with the alignment that lets a GPU load them at once. */
#ifndef OWM_TESTS_KERNELS_EMU_VECTORS_H
#define OWM_TESTS_KERNELS_EMU_VECTORS_H

#define EMU_VECTOR2(type, name, align)                                                             \
    struct alignas(align) name##2                                                                  \
    {                                                                                              \
        type x, y;                                                                                 \
    };                                                                                             \
    static inline name##2 make_##name##2(type x, type y)                                           \
    {                                                                                              \
        return {x, y};                                                                             \
    }

#define EMU_VECTOR3(type, name)                                                                    \
    struct name##3                                                                                 \
    {                                                                                              \
        type x, y, z;                                                                              \
    };                                                                                             \
    static inline name##3 make_##name##3(type x, type y, type z)                                   \
    {                                                                                              \
        return {x, y, z};                                                                          \
    }

#define EMU_VECTOR4(type, name, align)                                                             \
    struct alignas(align) name##4                                                                  \
    {                                                                                              \
        type x, y, z, w;                                                                           \
    };                                                                                             \
    static inline name##4 make_##name##4(type x, type y, type z, type w)                           \
    {                                                                                              \
        return {x, y, z, w};                                                                       \
    }

#define EMU_VECTORS(type, name, align2, align4)                                                    \
    EMU_VECTOR2(type, name, align2)                                                                \
    EMU_VECTOR3(type, name)                                                                        \
    EMU_VECTOR4(type, name, align4)

EMU_VECTORS(signed char, char, 2, 4)
EMU_VECTORS(unsigned char, uchar, 2, 4)
EMU_VECTORS(short, short, 4, 8)
EMU_VECTORS(unsigned short, ushort, 4, 8)
EMU_VECTORS(int, int, 8, 16)
EMU_VECTORS(unsigned, uint, 8, 16)
EMU_VECTORS(float, float, 8, 16)
EMU_VECTOR2(double, double, 16)
EMU_VECTOR2(long long, longlong, 16)
EMU_VECTOR2(unsigned long long, ulonglong, 16)

#endif
