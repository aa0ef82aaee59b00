# gpu.cmake: the plug-ins libowm-cuda.so and libowm-hip.so. CMake's own CUDA and HIP languages are not
# used: they want a whole toolkit where a compiler is enough, and know nothing of Debian's hipcc.
option(OWM_CUDA "Build libowm-cuda.so: needs nvcc 12 or newer" OFF)
option(OWM_HIP "Build libowm-hip.so: needs hipcc 5.2 or newer" OFF)
set(OWM_CUDA_ARCHS "75;80;86;89;90" CACHE STRING "Compute capabilities; the last also as PTX")
set(OWM_HIP_ARCHS "gfx906;gfx908;gfx90a;gfx1030" CACHE STRING "AMD architectures")

include(${CMAKE_SOURCE_DIR}/kernels/cuda/sources.cmake)
list(TRANSFORM gpu_host_sources PREPEND ${CMAKE_SOURCE_DIR}/kernels/cuda/)

# owm_gpu_plugin(name): the shared library of one vendor, beside the programs. Only its table is seen.
function(owm_gpu_plugin name)
  add_library(owm-${name} SHARED ${gpu_host_sources} ${CMAKE_SOURCE_DIR}/kernels/check.c)
  set_target_properties(owm-${name} PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} C_VISIBILITY_PRESET hidden)
  target_link_libraries(owm-${name} PRIVATE base_core inc_kernels ${CMAKE_DL_LIBS} Threads::Threads m)
  target_link_options(owm-${name} PRIVATE
    -Wl,--no-undefined -Wl,--exclude-libs,ALL
    -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/plugin.map)
  set_property(TARGET owm-${name} APPEND PROPERTY LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/plugin.map)
endfunction()

# owm_gpu_sources(name command flags_exact flags_fast): compile each .cu file into the plug-in. What
# the assembler says of registers and spills is kept as <build>/ptxas/<name>/<file>.txt.
function(owm_gpu_sources name)
  cmake_parse_arguments(G "" "" "COMPILE;EXACT" ${ARGN})
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/ptxas/${name} ${CMAKE_BINARY_DIR}/gpu/${name})
  foreach(file ${gpu_exact_sources} ${gpu_fast_sources})
    set(flags)
    if(file IN_LIST gpu_exact_sources)
      set(flags ${G_EXACT})
    endif()
    get_filename_component(stem ${file} NAME_WE)
    set(object ${CMAKE_BINARY_DIR}/gpu/${name}/${stem}.o)
    set(report ${CMAKE_BINARY_DIR}/ptxas/${name}/${stem}.txt)
    add_custom_command(OUTPUT ${object} BYPRODUCTS ${report}
      COMMAND ${CMAKE_SOURCE_DIR}/scripts/gpu_compile.sh ${report} ${G_COMPILE} ${flags}
              -I ${CMAKE_BINARY_DIR}/include/kernels -I ${CMAKE_BINARY_DIR}/include/base
              -MD -MF ${object}.d -c ${CMAKE_SOURCE_DIR}/kernels/cuda/${file} -o ${object}
      DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/${file} ${CMAKE_SOURCE_DIR}/scripts/gpu_compile.sh
      DEPFILE ${object}.d VERBATIM COMMENT "${name}: ${file}")
    target_sources(owm-${name} PRIVATE ${object})
  endforeach()
endfunction()

function(owm_find_nvcc)
  find_program(OWM_NVCC nvcc
    HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin
          ${CMAKE_SOURCE_DIR}/build/tools/cuda/nvidia/cu13/bin)
  if(NOT OWM_NVCC)
    message(FATAL_ERROR "OWM_CUDA is on and there is no nvcc: looked on the PATH, in CUDA_HOME/bin, "
                        "/usr/local/cuda/bin and build/tools/cuda ('./owm test' fetches it)")
  endif()
  file(REAL_PATH ${OWM_NVCC} real)
  get_filename_component(root ${real} DIRECTORY)
  get_filename_component(root ${root} DIRECTORY)
  set(cuda_root ${root} PARENT_SCOPE)
  foreach(lib lib64 lib targets/x86_64-linux/lib)
    if(EXISTS ${root}/${lib}/libcudart_static.a)
      set(cuda_runtime ${root}/${lib}/libcudart_static.a PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "libcudart_static.a is not beside ${OWM_NVCC}")
endfunction()

function(owm_cuda_plugin)
  owm_find_nvcc()
  set(gencode)
  foreach(arch ${OWM_CUDA_ARCHS})
    list(APPEND gencode -gencode=arch=compute_${arch},code=sm_${arch})
    set(newest ${arch})
  endforeach()
  list(APPEND gencode -gencode=arch=compute_${newest},code=compute_${newest})
  set(host -fPIC,-fvisibility=hidden,-fno-exceptions,-fno-threadsafe-statics) # No libstdc++.
  set(werror)
  if(OWM_WERROR)
    set(werror -Werror=all-warnings)
  endif()
  owm_gpu_plugin(cuda)
  target_sources(owm-cuda PRIVATE ${CMAKE_SOURCE_DIR}/kernels/cuda/vendor_cuda.c)
  target_include_directories(owm-cuda SYSTEM PRIVATE ${cuda_root}/include)
  owm_gpu_sources(cuda
    COMPILE ${OWM_NVCC} -std=c++17 -O3 ${gencode} ${werror} -Xptxas=-v
            -Xcompiler=${host},-Wall,-Wextra,-Wno-unused-function
    EXACT -fmad=false)
  target_link_libraries(owm-cuda PRIVATE ${cuda_runtime} rt)
endfunction()

# hipcc compiles the same sources; kernels/hip/cuda_runtime.h gives them HIP's names. Its exit is the
# C compiler's link, so the table stays in C: a table of functions in HIP code fails at device link.
function(owm_hip_plugin)
  find_program(OWM_HIPCC hipcc HINTS $ENV{ROCM_PATH}/bin /opt/rocm/bin)
  find_library(OWM_HIP_RUNTIME amdhip64 HINTS $ENV{ROCM_PATH}/lib /opt/rocm/lib)
  if(NOT OWM_HIPCC OR NOT OWM_HIP_RUNTIME)
    message(FATAL_ERROR "OWM_HIP is on and hipcc or libamdhip64 is missing (Debian: hipcc, "
                        "libamdhip64-dev, rocm-device-libs)")
  endif()
  file(REAL_PATH ${OWM_HIPCC} real)
  get_filename_component(root ${real} DIRECTORY)
  get_filename_component(root ${root} DIRECTORY)
  set(offload)
  foreach(arch ${OWM_HIP_ARCHS})
    list(APPEND offload --offload-arch=${arch})
  endforeach()
  set(werror)
  if(OWM_WERROR)
    set(werror -Werror)
  endif()
  owm_gpu_plugin(hip)
  target_sources(owm-hip PRIVATE ${CMAKE_SOURCE_DIR}/kernels/hip/vendor_hip.c)
  target_include_directories(owm-hip BEFORE PRIVATE ${CMAKE_SOURCE_DIR}/kernels/hip)
  target_include_directories(owm-hip SYSTEM PRIVATE ${root}/include)
  list(JOIN OWM_HIP_ARCHS "," hip_archs) # A semicolon would end the definition.
  target_compile_definitions(owm-hip PRIVATE __HIP_PLATFORM_AMD__ GPU_BACKEND_NAME="hip"
    "GPU_ARCHS=\"${hip_archs}\"")
  owm_gpu_sources(hip
    COMPILE ${OWM_HIPCC} -x hip -std=c++17 -O3 ${offload} ${werror} -fPIC -fvisibility=hidden
            -fno-exceptions -fno-threadsafe-statics -Wall -Wextra -Wno-unused-function
            -Rpass-analysis=kernel-resource-usage
            -I ${CMAKE_SOURCE_DIR}/kernels/hip
    EXACT -ffp-contract=off)
  target_link_libraries(owm-hip PRIVATE ${OWM_HIP_RUNTIME})
endfunction()

if(OWM_CUDA)
  owm_cuda_plugin()
endif()
if(OWM_HIP)
  owm_hip_plugin()
endif()
