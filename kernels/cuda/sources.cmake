# sources.cmake: the sources of the GPU plug-ins, once for cuda, hip and the emulator of the tests.
#
# gpu_host_sources   C, compiled by the C compiler against cuda_runtime.h; vendor_cuda.c (also for the
#                    emulator) or hip/vendor_hip.c joins them.
# gpu_exact_sources  kernels whose contract promises the reference's bits: compiled with -fmad=false.
# gpu_fast_sources   all others.
set(gpu_host_sources
  backend_cuda.c gpu_device.c gpu_memory.c gpu_blas.c gpu_sum.c)
set(gpu_exact_sources
  apply_update.cu clip.cu feedback.cu gram.cu quantise.cu scatter_add.cu sha256d_batch.cu
  sha256d_merkle.cu sha256d_scan.cu sparse_gram.cu sparse_sum.cu threshold.cu topk.cu trimmed_mean.cu
  weighted_sum.cu)
set(gpu_fast_sources
  adamw.cu attention.cu attention_bwd.cu attention_decode.cu attention_paged.cu cross_entropy.cu
  embedding.cu gemm.cu kv_put.cu linear.cu linear_bwd.cu pack.cu pipe.cu rmsnorm.cu rope.cu
  sample.cu softmax.cu swiglu.cu vector.cu)
