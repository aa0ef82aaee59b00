/* rope_table.c: cosines and sines of position * theta^(-2i/E). */
#include <math.h>

#include "kernels/ops.h"

void owm_rope_table(float *cos_sin, uint32_t positions, uint32_t head_dim, float theta)
{
    uint32_t half = head_dim / 2;
    for (uint32_t i = 0; i < half; i++) {
        double frequency = pow((double)theta, -2.0 * i / head_dim);
        for (uint32_t p = 0; p < positions; p++) {
            cos_sin[(size_t)p * head_dim + i] = (float)cos(p * frequency);
            cos_sin[(size_t)p * head_dim + half + i] = (float)sin(p * frequency);
        }
    }
}
