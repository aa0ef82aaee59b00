# secp256k1.cmake: the target `secp256k1`, 0.4 or newer with ellswift: the system's, or what ./owm setup unpacked.
include_guard(GLOBAL)
set(unpacked ${CMAKE_SOURCE_DIR}/build/deps/secp256k1)
pkg_check_modules(SECP256K1 QUIET IMPORTED_TARGET GLOBAL libsecp256k1>=0.4)
add_library(secp256k1 INTERFACE)
if(SECP256K1_FOUND)
  target_link_libraries(secp256k1 INTERFACE PkgConfig::SECP256K1)
else()
  # Static, so that the programs run where build/deps is not.
  file(GLOB archive ${unpacked}/usr/lib/*/libsecp256k1.a)
  if(NOT archive OR NOT EXISTS ${unpacked}/complete)
    message(FATAL_ERROR "libsecp256k1 0.4 or newer is missing: pkg-config does not know it, and it is not in "
                        "${unpacked}; run './owm setup'")
  endif()
  target_include_directories(secp256k1 SYSTEM INTERFACE ${unpacked}/usr/include)
  target_link_libraries(secp256k1 INTERFACE ${archive})
endif()
