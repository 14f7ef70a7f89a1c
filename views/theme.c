/* Roles and scales as colours. The terminal's own foreground and background stay, so that light and
 * dark both work. */
#include "views/theme.h"

Style theme_style(Role r)
{
    static const Style styles[N_ROLES] = {
        [ROLE_TEXT] = {0, 0, 0},
        [ROLE_DIM] = {COLOR_ANSI(8), 0, ATTR_DIM},
        [ROLE_BORDER] = {COLOR_ANSI(8), 0, ATTR_DIM},
        [ROLE_FOCUS] = {COLOR_ANSI(6), 0, ATTR_BOLD},
        [ROLE_TITLE] = {0, 0, ATTR_BOLD},
        [ROLE_HEADER] = {0, 0, ATTR_BOLD},
        [ROLE_CURSOR] = {0, 0, ATTR_REVERSE},
        [ROLE_GOOD] = {COLOR_ANSI(2), 0, 0},
        [ROLE_WARN] = {COLOR_ANSI(3), 0, ATTR_BOLD},
        [ROLE_ERROR] = {COLOR_ANSI(1), 0, ATTR_BOLD},
        [ROLE_ACCENT] = {COLOR_ANSI(6), 0, 0},
        [ROLE_GENERATED] = {COLOR_ANSI(5), 0, ATTR_BOLD},
    };
    return styles[r < N_ROLES ? r : ROLE_TEXT];
}

Color theme_group_color(int colors, size_t g, uint32_t rgb)
{
    static const uint8_t order[] = {2, 6, 3,
                                    5, 1, 4}; /* readable ones first; black and white left out */
    if (colors == 0)
        return COLOR_DEFAULT;
    if (colors >= 256)
        return COLOR_RGB(rgb);
    size_t n = sizeof order;
    return COLOR_ANSI(order[g % n] + (colors >= 16 && g / n % 2 ? 8 : 0));
}

bool theme_needs_letters(int colors, size_t n_groups)
{
    return colors == 0 || (colors < 16 && n_groups > 6) || (colors < 256 && n_groups > 12) ||
           n_groups > 40;
}

char theme_letter(size_t g)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    return letters[g % (sizeof letters - 1)];
}

Color theme_value_color(int colors, double t)
{
    static const uint8_t viridis[9][3] = {{68, 1, 84},    {71, 44, 122},  {59, 81, 139},
                                          {44, 113, 142}, {33, 144, 141}, {39, 173, 129},
                                          {92, 200, 99},  {170, 220, 50}, {253, 231, 37}};
    static const uint8_t few[4] = {4, 6, 2, 3};
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    if (colors == 0)
        return COLOR_DEFAULT;
    if (colors < 256)
        return COLOR_ANSI(few[t >= 1 ? 3 : (int)(t * 4)]);
    double at = t * 8;
    int i = at >= 8 ? 7 : (int)at;
    uint32_t rgb = 0;
    for (int k = 0; k < 3; k++) {
        double v = viridis[i][k] + (at - i) * (viridis[i + 1][k] - viridis[i][k]);
        rgb = rgb << 8 | (uint32_t)(v + 0.5);
    }
    return COLOR_RGB(rgb);
}
