/* What things look like: roles -> styles, groups and values -> colours or letters. */
#ifndef SCMM_VIEWS_THEME_H
#define SCMM_VIEWS_THEME_H
#include "views/canvas.h"

typedef enum Role {
    ROLE_TEXT,
    ROLE_DIM,
    ROLE_BORDER,
    ROLE_FOCUS, /* border and title of the focused pane */
    ROLE_TITLE,
    ROLE_HEADER,
    ROLE_CURSOR, /* the current row */
    ROLE_GOOD,
    ROLE_WARN,
    ROLE_ERROR,
    ROLE_ACCENT, /* keys, prompts */
    ROLE_GENERATED,
    N_ROLES
} Role;

Style theme_style(Role r);

/* How many colours the terminal has: 0 (none), 8, 16, 256 or more. */
/* The colour of group g: `rgb` where there are colours enough, else one of the terminal's own. */
Color theme_group_color(int colors, size_t g, uint32_t rgb);
/* Whether n groups cannot be told apart by colour alone, and each point is drawn as its group's
 * letter. */
bool theme_needs_letters(int colors, size_t n_groups);
/* A..Z a..z 0..9 and again. */
char theme_letter(size_t g);
/* Viridis-like scale, t in 0..1 (van der Walt and Smith 2015); few colours: blue, cyan, green,
 * yellow. */
Color theme_value_color(int colors, double t);
#endif
