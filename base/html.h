/* html.h: text of any origin in a page. */
#ifndef OWM_BASE_HTML_H
#define OWM_BASE_HTML_H

#include <stdio.h>

/** owm_html_text: write text so that it is neither markup nor the end of an attribute in double
 *  quotes; control characters become spaces. */
void owm_html_text(FILE *out, const char *text);

#endif
