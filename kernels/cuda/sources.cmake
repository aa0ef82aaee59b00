# The sources of the GPU plug-ins, once for cuda, hip and the emulator of the tests. Names by hand.
#
# gpu_host_sources   C, compiled by the C compiler against cuda_runtime.h.
# gpu_exact_sources  kernels whose contract promises the reference's bits: compiled with -fmad=false.
# gpu_fast_sources   all others.
set(gpu_host_sources)
set(gpu_exact_sources)
set(gpu_fast_sources)
