# commit.cmake: writes commit.c with the commit that is being built, only when it has changed.
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
execute_process(COMMAND git -C ${SOURCE} diff --quiet HEAD ERROR_QUIET RESULT_VARIABLE changed)
if(failed)
  set(commit unknown)
elseif(changed)
  set(commit "${commit}+changes")
endif()
string(CONCAT text "/* commit.c: generated. */\nconst char *bench_commit(void);\n\n"
  "const char *bench_commit(void)\n{\n    return \"${commit}\";\n}\n")
if(EXISTS ${OUT})
  file(READ ${OUT} old)
endif()
if(NOT "${old}" STREQUAL "${text}")
  file(WRITE ${OUT} "${text}")
endif()
