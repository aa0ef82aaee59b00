/* faults.h: the faults that faults.cu can plant. */
#ifndef OWM_TESTS_KERNELS_EMU_FAULTS_H
#define OWM_TESTS_KERNELS_EMU_FAULTS_H

enum fault {
    TWO_BARRIERS,
    GONE_AT_BARRIER,
    GONE_AT_SHUFFLE,
    TWO_VOTES,
    LANE_NOT_IN_MASK,
    BEYOND_SHARED,
    BEFORE_SHARED,
    BEYOND_DYNAMIC,
    UNWRITTEN_SHARED,
    MISSING_BARRIER,
    READ_THEN_WRITE,
    HALF_ATOMIC,
    MISALIGNED_SHARED,
    BEYOND_DEVICE,
    BEFORE_DEVICE,
    FREED_DEVICE,
    READS_HOST,
    HOST_READS_DEVICE,
    WAITS_FOREVER,
    FILLS_STACK,
    LARGE_BLOCK,
    EMPTY_GRID,
    HIGH_GRID,
    MUCH_SHARED,
    BAD_COPY,
    BAD_STREAM,
    FAULTS
};

#ifdef __cplusplus
extern "C" {
#endif

/** plant: out has `words` words on the device, all 0. */
void plant(enum fault fault, unsigned *out, unsigned words);

/** right_programs: out has 320 words on the device, all 0; in has 128, also there. */
void right_programs(unsigned *out, const unsigned *in);

#ifdef __cplusplus
}
#endif
#endif
