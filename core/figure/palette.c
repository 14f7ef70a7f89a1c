/* Colour tables and colour-vision simulation. */
#include "core/figure/palette.h"

#include <math.h>
#include <stdbool.h>

#include "core/base/str.h"

/* Okabe and Ito 2008 with a grey for black, then twelve found by tests/ref/palette.py: any two differ by 10.4 (CIEDE2000) at
 * least, for normal sight and the three simulated ones; the first eight by 10.9. Ordered so that the first ones differ most. */
enum { COLORS = 20 };
static const uint32_t palette[COLORS] = {0xE69F00, 0x56B4E9, 0x009E73, 0xF0E442, 0x0072B2, 0xD55E00, 0xCC79A7,
                                         0x666666, 0x7C1B25, 0x382EBD, 0x7D76FF, 0xA80F0B, 0x3BEAFF, 0x5F3B52,
                                         0x94674B, 0xC7E791, 0x770871, 0xE0BAA7, 0x7A5581, 0x79B56F};

void palette_categorical(uint32_t *colors, size_t n)
{
    for (size_t i = 0; i < n; i++)
        colors[i] = palette[i % COLORS];
}

int palette_own_glyph(size_t i)
{
    static const int order[N_GLYPHS] = {0, 2, 3, 4, 6, 5, 7, 1};
    return order[i % N_GLYPHS];
}

int palette_glyph(size_t i, size_t n)
{
    return n <= COLORS ? 0 : palette_own_glyph(i / COLORS);
}

int palette_repeat(size_t i, size_t n)
{
    return n <= COLORS ? 0 : (int)(i / COLORS);
}

enum { KNOTS = 33 };
static const uint32_t maps[N_COLOR_MAPS][KNOTS] = {
    {0x440154, 0x470D60, 0x48186A, 0x482374, 0x472D7B, 0x453781, 0x424086, 0x3E4989,
     0x3B528B, 0x375B8D, 0x33638D, 0x2F6B8E, 0x2C728E, 0x297A8E, 0x26828E, 0x23898E,
     0x21918C, 0x1F988B, 0x1FA088, 0x22A785, 0x28AE80, 0x32B67A, 0x3FBC73, 0x4EC36B,
     0x5EC962, 0x70CF57, 0x84D44B, 0x98D83E, 0xADDC30, 0xC2DF23, 0xD8E219, 0xECE51B,
     0xFDE725},
    {0x000004, 0x030312, 0x0A0822, 0x130D34, 0x1D1147, 0x29115A, 0x36106B, 0x440F76,
     0x51127C, 0x5D177F, 0x6A1C81, 0x762181, 0x832681, 0x902A81, 0x9C2E7F, 0xAA337D,
     0xB73779, 0xC43C75, 0xD0416F, 0xDC4869, 0xE75263, 0xEF5D5E, 0xF56B5C, 0xF9795D,
     0xFC8961, 0xFD9869, 0xFEA772, 0xFEB67C, 0xFEC488, 0xFED395, 0xFDE2A3, 0xFCF0B2,
     0xFCFDBF},
    {0x00224E, 0x00285B, 0x002E6A, 0x053371, 0x1A386F, 0x273E6E, 0x32436D, 0x3B496C,
     0x434E6C, 0x4B546C, 0x535A6D, 0x5A5F6E, 0x61656F, 0x686A71, 0x6F7073, 0x767676,
     0x7D7C78, 0x848279, 0x8C8878, 0x938E78, 0x9B9476, 0xA39A74, 0xABA072, 0xB4A76F,
     0xBCAE6C, 0xC4B468, 0xCDBB63, 0xD5C25E, 0xDEC958, 0xE7D150, 0xF0D846, 0xF9E03A,
     0xFEE838},
    {0x053061, 0x0E4179, 0x175290, 0x1F63A8, 0x2A71B2, 0x3480B9, 0x3F8EC0, 0x529DC8,
     0x6BACD1, 0x84BCD9, 0x9BC9E0, 0xAED3E6, 0xC2DDEC, 0xD4E6F1, 0xE0ECF3, 0xECF2F5,
     0xF7F6F6, 0xF9EEE7, 0xFBE5D8, 0xFDDCC9, 0xFBCCB4, 0xF8BB9E, 0xF5AA89, 0xEE9677,
     0xE48066, 0xDB6B55, 0xD05548, 0xC53E3D, 0xBA2832, 0xAB162A, 0x930E26, 0x7C0722,
     0x67001F},
    {0xE6E6E6, 0xEAE2DE, 0xEDDDD7, 0xF1D9CF, 0xF4D4C7, 0xF8D0C0, 0xFCCCB8, 0xFDC4AE,
     0xFDBAA2, 0xFDB096, 0xFCA68A, 0xFC9C7F, 0xFC9273, 0xFC8768, 0xFA7C5F, 0xF87156,
     0xF6664D, 0xF55B45, 0xF3503C, 0xF14533, 0xEA3D2F, 0xE1362B, 0xD92E27, 0xD12723,
     0xC81F20, 0xC0181C, 0xB51219, 0xA80F17, 0x9B0C15, 0x8D0913, 0x800611, 0x73030F,
     0x67000D},
};
static const char *const map_names[N_COLOR_MAPS] = {"viridis", "magma", "cividis", "rdbu", "reds"};

uint32_t color_map(ColorMap map, double t)
{
    t = t > 0 ? (t < 1 ? t : 1) : 0; /* NaN goes to 0 */
    double at = t * (KNOTS - 1);
    int i = (int)at < KNOTS - 1 ? (int)at : KNOTS - 2;
    double f = at - i;
    uint32_t a = maps[map][i], b = maps[map][i + 1], rgb = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
        double x = (a >> shift & 255) * (1 - f) + (b >> shift & 255) * f;
        rgb |= (uint32_t)lround(x) << shift;
    }
    return rgb;
}

Err color_map_find(const char *name, ColorMap *out)
{
    for (int i = 0; i < N_COLOR_MAPS; i++)
        if (str_equal_nocase(name, map_names[i])) {
            *out = (ColorMap)i;
            return OK;
        }
    FAIL(ERR_USAGE, "'%s': no such colour map; use viridis, magma, cividis, rdbu or reds", name);
}

static double to_linear(double v)
{
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static double to_srgb(double v)
{
    v = fmin(1, fmax(0, v));
    return v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
}

static void linear_of(uint32_t rgb, double out[3])
{
    for (int i = 0; i < 3; i++)
        out[i] = to_linear((rgb >> (16 - 8 * i) & 255) / 255.0);
}

uint32_t color_simulate(uint32_t rgb, int kind)
{
    /* Machado, Oliveira and Fernandes 2009, severity 1.0. */
    static const double m[3][9] = {
        {0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881},
        {0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998},
        {1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.303900}};
    double in[3];
    uint32_t out = 0;
    linear_of(rgb, in);
    if (kind == 3)
        return (uint32_t)lround(255 * to_srgb(0.2126 * in[0] + 0.7152 * in[1] + 0.0722 * in[2])) * 0x010101u;
    for (int i = 0; i < 3; i++) {
        const double *row = m[kind] + 3 * i;
        double v = to_srgb(row[0] * in[0] + row[1] * in[1] + row[2] * in[2]);
        out = out << 8 | (uint32_t)lround(255 * v);
    }
    return out;
}

Err color_simulate_find(const char *name, int *kind)
{
    static const char *const names[SIMULATE_KINDS][4] = {{"deuteranopia", "deutan", "deuter", "deuteranomaly"},
                                                         {"protanopia", "protan", "prot", "protanomaly"},
                                                         {"tritanopia", "tritan", "trit", "tritanomaly"},
                                                         {"greyscale", "grayscale", "grey", "gray"}};
    for (int k = 0; k < SIMULATE_KINDS; k++)
        for (int i = 0; i < 4; i++)
            if (str_equal_nocase(name, names[k][i])) {
                *kind = k;
                return OK;
            }
    FAIL(ERR_USAGE, "--simulate: '%s'; use deuteranopia, protanopia, tritanopia or greyscale", name);
}

static void lab_of(uint32_t rgb, double lab[3])
{
    static const double m[9] = {0.4124564, 0.3575761, 0.1804375, 0.2126729, 0.7151522,
                                0.0721750, 0.0193339, 0.1191920, 0.9503041};
    static const double white[3] = {0.95047, 1.0, 1.08883}; /* D65 */
    double in[3], f[3];
    linear_of(rgb, in);
    for (int i = 0; i < 3; i++) {
        double v = (m[3 * i] * in[0] + m[3 * i + 1] * in[1] + m[3 * i + 2] * in[2]) / white[i];
        f[i] = v > 0.008856 ? cbrt(v) : 7.787 * v + 16.0 / 116;
    }
    lab[0] = 116 * f[1] - 16;
    lab[1] = 500 * (f[0] - f[1]);
    lab[2] = 200 * (f[1] - f[2]);
}

static double degrees(double y, double x)
{
    double h = x == 0 && y == 0 ? 0 : atan2(y, x) * 180 / M_PI;
    return h < 0 ? h + 360 : h;
}

static double cosine(double deg)
{
    return cos(deg * M_PI / 180);
}

/* Of seven: chroma c against 25. */
static double chroma_weight(double c)
{
    return sqrt(pow(c, 7) / (pow(c, 7) + 6103515625.0));
}

/* CIE 142:2001, in the words of Sharma, Wu and Dalal 2005; lightness, chroma and hue with weights 1. */
double color_distance(uint32_t one, uint32_t two)
{
    double lab[2][3], c[2], h[2];
    lab_of(one, lab[0]);
    lab_of(two, lab[1]);
    double mean = (hypot(lab[0][1], lab[0][2]) + hypot(lab[1][1], lab[1][2])) / 2, g = 0.5 * (1 - chroma_weight(mean));
    for (int k = 0; k < 2; k++) {
        double a = (1 + g) * lab[k][1];
        c[k] = hypot(a, lab[k][2]);
        h[k] = degrees(lab[k][2], a);
    }
    bool grey = c[0] * c[1] == 0;
    double turn = grey ? 0 : h[1] - h[0], sum = h[0] + h[1];
    bool around = !grey && fabs(turn) > 180;
    double hue = grey ? sum : around ? (sum + (sum < 360 ? 360 : -360)) / 2 : sum / 2;
    turn += around ? (turn > 0 ? -360 : 360) : 0;
    double light = (lab[0][0] + lab[1][0]) / 2, chroma = (c[0] + c[1]) / 2, off = (light - 50) * (light - 50);
    double t = 1 - 0.17 * cosine(hue - 30) + 0.24 * cosine(2 * hue) + 0.32 * cosine(3 * hue + 6) - 0.20 * cosine(4 * hue - 63);
    double dl = (lab[1][0] - lab[0][0]) / (1 + 0.015 * off / sqrt(20 + off)), dc = (c[1] - c[0]) / (1 + 0.045 * chroma);
    double dh = 2 * sqrt(c[0] * c[1]) * sin(turn / 2 * M_PI / 180) / (1 + 0.015 * chroma * t);
    double rotation = -2 * chroma_weight(chroma) * sin(60 * exp(-pow((hue - 275) / 25, 2)) * M_PI / 180);
    return sqrt(fmax(0, dl * dl + dc * dc + dh * dh + rotation * dc * dh));
}
