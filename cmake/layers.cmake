# layers.cmake: the one-way rule as include folders. owm_layer(base) makes `inc_base`; a target that
# links it, and no other, can include "base/…" and nothing else of the tree.
function(owm_layer name)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/include/${name})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${name} ${CMAKE_BINARY_DIR}/include/${name}/${name} SYMBOLIC)
  add_library(inc_${name} INTERFACE)
  target_include_directories(inc_${name} INTERFACE ${CMAKE_BINARY_DIR}/include/${name})
endfunction()

# owm_test(NAME name SOURCES … LIBS … [LABELS …] [ARGS …] [TIMEOUT s]): one test program; exit 77 is a skip.
# LABELS default to unit. What is labelled e2e, heavy or preset has the machine to itself.
function(owm_test)
  cmake_parse_arguments(T "" "NAME;TIMEOUT" "SOURCES;LIBS;LABELS;ARGS" ${ARGN})
  add_executable(${T_NAME} ${T_SOURCES})
  target_include_directories(${T_NAME} PRIVATE ${CMAKE_SOURCE_DIR}/tests) # test.h
  target_link_libraries(${T_NAME} PRIVATE ${T_LIBS} Threads::Threads m)
  add_test(NAME ${T_NAME} COMMAND ${T_NAME} ${T_ARGS})
  owm_test_properties(${T_NAME} "${T_TIMEOUT}" "${T_LABELS}")
endfunction()

# owm_script_test(NAME name COMMAND … LABELS … [TIMEOUT s]): the same for a command, run from the top of the tree.
function(owm_script_test)
  cmake_parse_arguments(T "" "NAME;TIMEOUT" "COMMAND;LABELS" ${ARGN})
  add_test(NAME ${T_NAME} COMMAND ${T_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  owm_test_properties(${T_NAME} "${T_TIMEOUT}" "${T_LABELS}")
endfunction()

function(owm_test_properties name timeout labels)
  if(NOT timeout)
    set(timeout 120)
  endif()
  if(CMAKE_CROSSCOMPILING) # An emulated processor is some five times slower.
    math(EXPR timeout "5 * ${timeout}")
  elseif(CMAKE_C_FLAGS MATCHES "-fsanitize=") # And a watched program some three times.
    math(EXPR timeout "3 * ${timeout}")
  endif()
  if(NOT labels)
    set(labels unit)
  endif()
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${timeout} LABELS "${labels}")
  if(labels MATCHES "e2e|heavy|preset")
    set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
  endif()
endfunction()
