# layers.cmake: the one-way rule as include folders. owm_layer(base) makes `inc_base`; a target that
# links it, and no other, can include "base/…" and nothing else of the tree.
function(owm_layer name)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/include/${name})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${name} ${CMAKE_BINARY_DIR}/include/${name}/${name} SYMBOLIC)
  add_library(inc_${name} INTERFACE)
  target_include_directories(inc_${name} INTERFACE ${CMAKE_BINARY_DIR}/include/${name})
endfunction()

# owm_test(NAME name SOURCES … LIBS … [LABELS …] [ARGS …] [TIMEOUT s]): one test program; exit 77 is a skip.
function(owm_test)
  cmake_parse_arguments(T "" "NAME;TIMEOUT" "SOURCES;LIBS;LABELS;ARGS" ${ARGN})
  add_executable(${T_NAME} ${T_SOURCES})
  target_link_libraries(${T_NAME} PRIVATE ${T_LIBS} Threads::Threads m)
  add_test(NAME ${T_NAME} COMMAND ${T_NAME} ${T_ARGS})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  set_tests_properties(${T_NAME} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${T_TIMEOUT} LABELS "${T_LABELS}")
endfunction()
