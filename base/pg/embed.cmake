# embed.cmake: numbered SQL files to one C file of byte arrays.
# cmake -DOUT=migrations.c -DSYMBOL=owm_migrations -DFILES="a.sql;b.sql" -P embed.cmake
set(arrays "")
set(rows "")
set(count 0)
foreach(path IN LISTS FILES)
  get_filename_component(name ${path} NAME_WE)
  string(REGEX MATCH "^[0-9]+" digits ${name})
  string(REGEX REPLACE "^0+" "" version ${digits})
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(APPEND arrays "static const char sql_${digits}[] = {${hex}0};\n")
  string(APPEND rows "    {${version}, \"${name}\", sql_${digits}},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUT} "/* Written by embed.cmake. */\n#include \"base/pg/migrate.h\"\n\n${arrays}\n"
  "extern const struct owm_migration ${SYMBOL}[];\nextern const size_t ${SYMBOL}_count;\n"
  "const struct owm_migration ${SYMBOL}[] = {\n${rows}};\nconst size_t ${SYMBOL}_count = ${count};\n")
