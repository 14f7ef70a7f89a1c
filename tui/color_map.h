/* Canvas colours -> the numbers of a terminal with few or many colours. */
#ifndef SCMM_TUI_COLOR_MAP_H
#define SCMM_TUI_COLOR_MAP_H
#include "views/canvas.h"

/* -1: the terminal's own. *attr gets what a colour that is not there turns into (ATTR_DIM,
 * ATTR_BOLD). */
int color_number(Color c, int colors, uint8_t *attr);
/* What to use: option and environment against what the terminal description says. `term` gets the
 * description to start instead of $TERM, or NULL. */
int color_choose(const char *option, int terminfo_colors, const char **term);
#endif
