# embed.cmake: text files to one C file of arrays.
# cmake -DOUT=page_assets.c -DFILES="page.css;page.js" -P embed.cmake
set(arrays "")
foreach(path IN LISTS FILES)
  get_filename_component(name ${path} NAME)
  string(MAKE_C_IDENTIFIER ${name} symbol)
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(APPEND arrays "const char owm_${symbol}[] = {${hex}0};\n")
endforeach()
file(WRITE ${OUT} "/* Written by embed.cmake. */\n#include \"pool/page_html.h\"\n\n${arrays}")
