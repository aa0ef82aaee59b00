# blocks.cmake: tests of the development block source, which needs no network of nodes.
pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq)
owm_test(NAME test_blocks SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_blocks.c
  ${CMAKE_CURRENT_LIST_DIR}/blocks_fixture.c LIBS devnet_blocks cmocka)
owm_test(NAME test_blocks_rules SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_blocks_rules.c
  ${CMAKE_CURRENT_LIST_DIR}/blocks_fixture.c LIBS devnet_blocks cmocka)
owm_test(NAME test_blocks_mempool SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_blocks_mempool.c
  ${CMAKE_CURRENT_LIST_DIR}/blocks_fixture.c LIBS devnet_blocks cmocka)
owm_test(NAME test_blocks_wallet SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_blocks_wallet.c
  ${CMAKE_CURRENT_LIST_DIR}/blocks_rpc.c
  ${CMAKE_CURRENT_LIST_DIR}/blocks_fixture.c LIBS devnet_blocks cmocka)
owm_test(NAME test_blocks_rpc SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_blocks_rpc.c
  ${CMAKE_CURRENT_LIST_DIR}/blocks_rpc.c
  ${CMAKE_CURRENT_LIST_DIR}/blocks_fixture.c LIBS devnet_blocks PkgConfig::ZMQ cmocka)
owm_script_test(NAME test_blocks_program LABELS unit
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/blocks_program.sh $<TARGET_FILE:owm-devnet-blocks>)
