/* Colours by distance in the 256-colour cube, by hue where there are 16 or 8. */
#include "tui/color_map.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"

static int nearest_256(int r, int g, int b)
{
    static const int level[6] = {0, 95, 135, 175, 215, 255};
    int rgb[3] = {r, g, b}, cube = 16, far = 0;
    for (int k = 0; k < 3; k++) {
        int best = 0;
        for (int i = 1; i < 6; i++)
            if (abs(level[i] - rgb[k]) < abs(level[best] - rgb[k]))
                best = i;
        cube += best * (k == 0 ? 36 : k == 1 ? 6 : 1);
        far += (level[best] - rgb[k]) * (level[best] - rgb[k]);
    }
    int mean = (r + g + b) / 3,
        step = mean < 8     ? 0
               : mean > 238 ? 23
                            : (mean - 8 + 5) / 10,
        grey = 8 + 10 * step;
    int d = (grey - r) * (grey - r) + (grey - g) * (grey - g) + (grey - b) * (grey - b);
    return d < far ? 232 + step : cube;
}

/* Strong channels make the hue: 1 red, 2 green, 4 blue; grey stays the terminal's own. */
static int nearest_ansi(int r, int g, int b)
{
    int max = r > g ? (r > b ? r : b) : (g > b ? g : b),
        min = r < g ? (r < b ? r : b) : (g < b ? g : b);
    if (max - min < 40)
        return -1;
    int middle = (max + min) / 2;
    return (r > middle ? 1 : 0) + (g > middle ? 2 : 0) + (b > middle ? 4 : 0);
}

int color_number(Color c, int colors, uint8_t *attr)
{
    uint32_t value = c & 0xffffff;
    int r = (int)(value >> 16), g = (int)(value >> 8 & 255), b = (int)(value & 255);
    if (c == COLOR_DEFAULT || colors < 8)
        return -1;
    if (c >> 24 == 1)
        return colors > 256    ? (int)value
               : colors == 256 ? nearest_256(r, g, b)
                               : nearest_ansi(r, g, b);
    if (value == 8) {
        if (colors >= 256)
            return colors == 256 ? 244 : 0x808080;
        *attr = (uint8_t)(*attr | ATTR_DIM);
        return -1;
    }
    if (value > 8 && colors < 16) {
        *attr = (uint8_t)(*attr | ATTR_BOLD);
        return (int)value - 8;
    }
    return (int)(value & 15);
}

int color_choose(const char *option, int terminfo_colors, const char **term)
{
    const char *name = getenv("TERM"), *no = getenv("NO_COLOR"), *more = getenv("COLORTERM");
    bool old = !name || str_starts(name, "screen") || str_starts(name, "tmux") ||
               str_starts(name, "linux") || str_starts(name, "vt") || !strcmp(name, "dumb");
    *term = NULL;
    if (!strcmp(option, "never") || (!strcmp(option, "auto") && no && *no))
        return 0;
    if (!strcmp(option, "16"))
        return terminfo_colors < 8 ? 8 : terminfo_colors < 16 ? 8 : 16;
    if (!strcmp(option, "truecolor")) {
        *term = "xterm-direct";
        return 1 << 24;
    }
    bool wants = !strcmp(option, "256") ||
                 (!old && more && (!strcmp(more, "truecolor") || !strcmp(more, "24bit")));
    if (wants && terminfo_colors < 256) {
        *term = "xterm-256color";
        return 256;
    }
    return terminfo_colors >= 256 ? 256 : terminfo_colors >= 16 ? 16 : terminfo_colors >= 8 ? 8 : 0;
}
